// Who is enrolled, who is taken for whom, and who is refused at a threshold.
hands.enrol = (place, { alike, pictures, names, credit, thresholds, refused, accepted }) => {
  const enrolled = new Set(names.keys());
  [3, 6, 9, 11, 14].forEach((index) => enrolled.delete(index));
  let threshold = 0.5;
  const [width, height, left, bottom] = [420, 270, 44, 40];
  const area = canvas(width, height, "errors at each threshold: pairs of one that are refused, over pairs of two that are accepted");
  const across = (share) => left + (width - left - 10) * Math.min(1, share / 0.5);
  const up = (share) => height - bottom - (height - bottom - 28) * Math.min(1, share / 0.5);
  for (const share of [0, 0.1, 0.2, 0.3, 0.4, 0.5]) {
    area.append(svg("line", { x1: left, x2: width - 10, y1: up(share), y2: up(share), class: "rule" }), words(left - 6, up(share) + 4, `${Math.round(100 * share)} %`, { "text-anchor": "end", class: "small muted" }));
    area.append(words(across(share), height - 22, `${Math.round(100 * share)} %`, { "text-anchor": share < 0.5 ? "middle" : "end", class: "small muted" }));
  }
  area.append(words(width - 10, height - 4, "pairs of two that are accepted", { "text-anchor": "end", class: "small muted" }), words(4, 14, "pairs of one that are refused", { class: "small muted" }));
  const curve = thresholds.map((_, index) => [accepted[index], refused[index]]).filter((pair) => Math.max(...pair) <= 0.5);
  const dot = svg("circle", { r: 7, class: "handle" });
  area.append(svg("path", { d: `M${curve.map(([a, r]) => `${across(a)},${up(r)}`).join("L")}`, class: "curve" }), dot);

  const known = html("div", { class: "thumbs", role: "group", "aria-label": "enrolled" });
  const buttons = names.map((name, index) => {
    const made = button(known, "", () => { if (!enrolled.delete(index)) enrolled.add(index); show(); });
    made.setAttribute("aria-label", `${name}, enrolled`);
    made.append(html("img", { src: pictures[0][index], alt: "", width: 32, height: 32 }));
    return made;
  });
  const shown = html("ul", { class: "probes" });
  const answers = names.map((name, index) => {
    const text = html("span");
    const item = html("li", {}, html("img", { src: pictures[1][index], alt: name, width: 32, height: 32 }), text);
    shown.append(item);
    return { item, text };
  });
  const side = html("div", { class: "side" });
  const main = html("div", {}, html("p", { class: "source" }, "Enrolled: choose"), known, html("p", { class: "source" }, "Shown: the same emoji by another designer"), shown);
  place.append(html("div", { class: "beside" }, main, side));
  side.append(area);
  const filled = readings(side, ["enrolled, and recognised", "enrolled, taken for another", "enrolled, refused", "not enrolled, refused", "not enrolled, taken for one"]);
  place.append(html("p", { class: "source" }, credit));
  const dialled = html("div");
  side.prepend(dialled);

  function show() {
    const counts = [0, 0, 0, 0, 0];
    buttons.forEach((made, index) => made.setAttribute("aria-pressed", String(enrolled.has(index))));
    answers.forEach(({ item, text }, index) => {
      const best = [...enrolled].reduce((a, b) => (a < 0 || alike[b][index] > alike[a][index] ? b : a), -1);
      const taken = best >= 0 && alike[best][index] >= threshold;
      const known = enrolled.has(index);
      const outcome = known ? (taken ? (best === index ? 0 : 1) : 2) : taken ? 4 : 3;
      counts[outcome] += 1;
      item.className = [0, 3].includes(outcome) ? "right" : "wrong";
      text.textContent = taken ? `${names[best]}, ${told(alike[best][index], 2)}` : "refused";
    });
    const at = thresholds.reduce((best, value, index) => (Math.abs(value - threshold) < Math.abs(thresholds[best] - threshold) ? index : best), 0);
    dot.setAttribute("cx", across(accepted[at]));
    dot.setAttribute("cy", up(refused[at]));
    filled(counts);
  }
  dial(dialled, "threshold", { min: thresholds[0], max: thresholds[thresholds.length - 1], step: 0.02, value: threshold, tell: (value) => told(value, 2) }, (value) => { threshold = value; show(); });
};
