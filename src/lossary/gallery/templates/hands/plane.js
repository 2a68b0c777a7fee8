// Features in the plane while a network is trained: small pictures side by side, one scrubber for all.
hands.plane = (place, { panels, labels, told: numbers, telling, every = 0, unseen = [], regions = {}, units = null, margin = 0 }) => {
  const names = Object.keys(panels);
  const frames = panels[names[0]].length;
  const side = 220;
  const at = (x) => side / 2 + (x / 500) * (side / 2);
  const classes = [...new Set(labels)].sort((a, b) => a - b);
  const legend = html("ul", { class: "legend" });
  for (const c of classes) {
    const mark = html("b", { class: "patch", style: `background:${colours[c % colours.length]}` });
    legend.append(html("li", {}, mark, unseen.includes(c) ? `${c} (unseen)` : `${c}`));
  }
  const grid = html("div", { class: ["panels one", "panels pair"][names.length - 1] ?? (names.length > 4 ? "panels" : "panels few") });
  place.append(legend, grid);
  let now = frames - 1; // as it ends: at first there is little to see
  let anchor = labels.indexOf(classes[1]);

  const shown = names.map((name) => {
    const area = canvas(side, side, `${name}: features of ${classes.length} classes`);
    area.append(svg("rect", { width: side, height: side, class: "ground" }));
    if (regions[name]) area.append(borders(regions[name], side));
    const lines = svg("g");
    const points = labels.map((label, index) => {
      const mark = unseen.includes(label)
        ? svg("path", { d: "M-3-3L3 3M-3 3L3-3", stroke: colours[label % colours.length], "stroke-width": 2 })
        : svg("circle", { r: units ? 3 : 2.4, fill: colours[label % colours.length], "fill-opacity": 0.85 });
      if (units) mark.addEventListener("click", () => { anchor = index; show(); });
      return mark;
    });
    area.append(lines, ...points);
    const note = html("figcaption");
    grid.append(html("figure", {}, html("h4", {}, name), area, note));
    return { name, points, lines, note };
  });
  const triple = units ? readings(place, ["anchor to its farthest positive", "anchor to the nearest negative", `loss at a margin of ${told(margin)}`]) : null;

  function show() {
    for (const { name, points, note } of shown) {
      panels[name][now].forEach(([x, y], index) => points[index].setAttribute("transform", `translate(${at(x)} ${at(-y)})`));
      note.textContent = `${told(numbers[name][Math.min(now, numbers[name].length - 1)])} ${telling}`;
    }
    if (units) hardest(shown[0]);
  }
  // The anchor's hardest triplet among the drawn points, and its loss.
  function hardest({ name, lines, points }) {
    const frame = panels[name][now];
    const apart = frame.map(([x, y]) => units[now] * Math.hypot(x - frame[anchor][0], y - frame[anchor][1]));
    const others = [...frame.keys()].filter((index) => index !== anchor);
    const far = others.filter((index) => labels[index] === labels[anchor]).reduce((a, b) => (apart[b] > apart[a] ? b : a));
    const near = others.filter((index) => labels[index] !== labels[anchor]).reduce((a, b) => (apart[b] < apart[a] ? b : a));
    lines.replaceChildren(...[[far, "positive"], [near, "negative"]].map(([index, kind]) => svg("line", {
      x1: at(frame[anchor][0]), y1: at(-frame[anchor][1]), x2: at(frame[index][0]), y2: at(-frame[index][1]), class: kind,
    })));
    points.forEach((point, index) => point.classList.toggle("chosen", [anchor, far, near].includes(index)));
    place.dataset.triple = [anchor, far, near];
    triple([apart[far], apart[near], Math.max(0, apart[far] - apart[near] + margin)]);
  }

  if (frames > 1) {
    const controls = html("div", { class: "controls" });
    place.insertBefore(controls, grid);
    let playing = 0;
    const stop = () => { clearInterval(playing); playing = 0; play.textContent = "▶ play"; };
    const play = button(controls, "▶ play", () => {
      if (playing) return stop();
      if (now === frames - 1) set(0);
      play.textContent = "❚❚ pause";
      playing = setInterval(() => (now < frames - 1 ? set(now + 1) : stop()), 250);
    });
    const set = dial(controls, "step", { min: 0, max: frames - 1, value: now, tell: (frame) => told(every * frame) }, (frame) => { now = frame; show(); });
  }
  if (units) {
    const controls = html("div", { class: "controls" });
    place.insertBefore(controls, grid);
    button(controls, "another anchor", () => { anchor = (anchor + 1) % labels.length; show(); });
  }
  show();
};

// Which class each small square of the plane belongs to, columns from the left, each from the top.
function borders(region, side) {
  const cells = Math.sqrt(region.length);
  const size = side / cells;
  const group = svg("g", { opacity: 0.22 });
  for (let column = 0; column < cells; column += 1) {
    for (let row = 0, start = 0; row < cells; row += 1) {
      const label = region[column * cells + row];
      if (row + 1 < cells && region[column * cells + row + 1] === label) continue;
      group.append(svg("rect", { x: column * size, y: start * size, width: size + 0.3, height: (row + 1 - start) * size, fill: colours[label % colours.length] }));
      start = row + 1;
    }
  }
  return group;
}
