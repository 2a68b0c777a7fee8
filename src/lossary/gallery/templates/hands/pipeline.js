// A model of one weight, a loss and an optimiser, step by step.
hands.pipeline = (place, { x, y, weights, curves, paths }) => {
  const [width, height, left, bottom] = [420, 240, 30, 24];
  const losses = Object.keys(paths);
  const optimisers = Object.keys(paths[losses[0]]);
  const chosen = { loss: losses[0], optimiser: optimisers[0], step: 0 };
  const area = canvas(width, height, "the loss over the weight, and the steps that were taken");
  const curve = svg("path", { class: "curve" });
  const trail = svg("path", { class: "trail" });
  const dot = svg("circle", { r: 7, class: "handle" });
  const slope = arrow(area, colours[1]);
  area.append(svg("line", { x1: left, x2: width, y1: height - bottom, y2: height - bottom, class: "rule" }), curve, trail, dot);
  const ends = [weights[0], weights[weights.length - 1]];
  const across = (w) => left + ((width - left - 8) * (w - ends[0])) / (ends[1] - ends[0]);
  for (let w = Math.ceil(ends[0]); w <= ends[1]; w += 1) area.append(words(across(w), height - 6, told(w), { "text-anchor": "middle", class: "small muted" }));
  area.append(words(width - 8, height - bottom - 6, "weight", { "text-anchor": "end", class: "small muted" }), words(4, 14, "loss", { class: "small muted" }));
  const boxes = html("ol", { class: "boxes" });
  const side = html("div", { class: "side" });
  place.append(boxes, html("div", { class: "beside" }, html("div", {}, area), side));
  const named = [["data", "x"], ["model", "w x"], ["loss", ""], ["gradient", ""], ["optimiser", ""]].map(([name]) => {
    const text = html("span");
    boxes.append(html("li", {}, html("b", {}, name), text));
    return text;
  });
  function show() {
    const heights = curves[chosen.loss];
    const most = Math.max(...heights);
    const up = (value) => height - bottom - ((height - bottom - 12) * value) / most;
    const path = paths[chosen.loss][chosen.optimiser];
    const [w, loss, gradient] = path[chosen.step];
    const next = path[chosen.step + 1]?.[0];
    curve.setAttribute("d", `M${weights.map((at, index) => `${across(at)},${up(heights[index])}`).join("L")}`);
    trail.setAttribute("d", `M${path.slice(0, chosen.step + 1).map(([at, value]) => `${across(at)},${up(value)}`).join("L")}`);
    dot.setAttribute("cx", across(w));
    dot.setAttribute("cy", up(loss));
    slope(across(w), up(loss), next === undefined ? 0 : across(next) - across(w), 0);
    [
      `x = ${x.map((one) => told(one)).join(", ")}; y = ${y.map((one) => told(one)).join(", ")}`,
      `ŷ = ${told(w)} x = ${x.map((one) => told(one * w)).join(", ")}`,
      `${chosen.loss}: ${told(loss, 4)}`,
      `d loss / d w = ${told(gradient, 4)}`,
      next === undefined ? "done" : `${chosen.optimiser}: w ← ${told(next, 4)}`,
    ].forEach((text, index) => { named[index].textContent = text; });
  }
  choice(side, "loss", losses, chosen.loss, (loss) => { chosen.loss = loss; show(); });
  choice(side, "optimiser", optimisers, chosen.optimiser, (optimiser) => { chosen.optimiser = optimiser; show(); });
  const steps = paths[losses[0]][optimisers[0]].length - 1;
  const set = dial(side, "step", { min: 0, max: steps, value: 0 }, (step) => { chosen.step = step; show(); });
  const controls = html("div", { class: "controls" });
  side.append(controls);
  button(controls, "one step", () => set(Math.min(steps, chosen.step + 1)));
  button(controls, "from the start", () => set(0));
};
