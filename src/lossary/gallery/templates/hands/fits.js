// One point is dragged past five lines, each the best by its loss for where the point is.
hands.fits = (place, { points, places, fits }) => {
  const [width, height, left, bottom] = [420, 340, 28, 22];
  const [low, high] = [-4, 20];
  const across = (x) => left + ((width - left - 10) * x) / 12;
  const up = (y) => height - bottom - ((height - bottom - 8) * (y - low)) / (high - low);
  const names = Object.keys(fits);
  const area = canvas(width, height, "twelve points, an outlier, and five lines fitted to them");
  for (const y of [0, 5, 10, 15, 20]) {
    area.append(svg("line", { x1: left, x2: width - 10, y1: up(y), y2: up(y), class: "rule" }), words(left - 6, up(y) + 4, `${y}`, { "text-anchor": "end", class: "small muted" }));
  }
  for (const x of [0, 3, 6, 9, 12]) area.append(words(across(x), height - 6, `${x}`, { "text-anchor": "middle", class: "small muted" }));
  const lines = names.map((_, index) => svg("line", { stroke: colours[index], "stroke-width": 2.5, "stroke-dasharray": ["", "7 3", "3 3", "9 3 2 3", "1 3"][index] }));
  const handle = svg("circle", { r: 9, class: "handle outlier" });
  area.append(...lines, ...points.map(([x, y]) => svg("circle", { cx: across(x), cy: up(y), r: 4, class: "dot" })), handle);
  const side = html("div", { class: "side" });
  place.append(html("div", { class: "beside" }, html("div", {}, area), side));
  const filled = readings(side, ["the outlier", ...names], 0, [null, ...names.map((_, index) => colours[index])].map((one) => one ?? ""));
  const ys = 49; // places are 25 columns of 49
  let now = [12, 40];
  function show(column, row) {
    now = [Math.min(24, Math.max(0, column)), Math.min(ys - 1, Math.max(0, row))];
    const index = now[0] * ys + now[1];
    const [x, y] = places[index];
    handle.setAttribute("cx", across(x));
    handle.setAttribute("cy", up(y));
    names.forEach((name, which) => {
      const [start, slope] = fits[name][index];
      for (const [key, value] of Object.entries({ x1: across(0), x2: across(12), y1: up(start), y2: up(start + 12 * slope) })) lines[which].setAttribute(key, value);
    });
    filled([`at ${told(x)}, ${told(y)}`, ...names.map((name) => {
      const [start, slope] = fits[name][index];
      return `${told(start)} ${slope < 0 ? "−" : "+"} ${told(Math.abs(slope))} x`;
    })]);
  }
  touched(area, (x, y) => show(Math.round(((x - left) / (width - left - 10)) * 24), Math.round(((height - bottom - y) / (height - bottom - 8)) * (ys - 1))));
  keyed(area, "outlier; arrow keys move it", {
    ArrowLeft: () => show(now[0] - 1, now[1]), ArrowRight: () => show(now[0] + 1, now[1]), ArrowUp: () => show(now[0], now[1] + 1), ArrowDown: () => show(now[0], now[1] - 1),
  });
  const controls = html("div", { class: "controls" });
  side.prepend(controls);
  button(controls, "far above the middle", () => show(12, 48));
  button(controls, "far above the right end", () => show(24, 48));
  button(controls, "among the others", () => show(12, 18));
  show(...now);
};
