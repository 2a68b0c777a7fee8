// A mask is painted or shifted over the true one. What it costs depends on four counts, so it is looked up by two of them.
hands.mask = (place, { tables }) => {
  const [cells, size] = [10, 32];
  const truth = new Set();
  for (let row = 3; row < 7; row += 1) for (let column = 2; column < 8; column += 1) truth.add(row * cells + column);
  let painted = new Set();
  let sure = Object.keys(tables)[1];
  let cursor = 44;
  let filling = true;
  const area = canvas(cells * size, cells * size, "a mask of 10 by 10 pixels; the outline is the truth");
  const squares = Array.from({ length: cells * cells }, (_, index) => svg("rect", {
    x: (index % cells) * size + 1, y: Math.floor(index / cells) * size + 1, width: size - 2, height: size - 2, class: "pixel",
  }));
  const outline = svg("rect", { x: 2 * size, y: 3 * size, width: 6 * size, height: 4 * size, class: "truth" });
  const mark = svg("rect", { width: size - 8, height: size - 8, class: "cursor" });
  area.append(...squares, outline, mark);
  const side = html("div", { class: "side" });
  place.append(html("div", { class: "beside" }, html("div", {}, area), side));
  const counted = readings(side, ["hits", "false alarms", "misses"]);
  const names = Object.keys(tables[sure]);
  const filled = readings(side, names, 1.2, names.map((_, index) => colours[index]));

  function show() {
    squares.forEach((square, index) => square.classList.toggle("painted", painted.has(index)));
    mark.setAttribute("x", (cursor % cells) * size + 4);
    mark.setAttribute("y", Math.floor(cursor / cells) * size + 4);
    const hits = [...painted].filter((index) => truth.has(index)).length;
    const alarms = painted.size - hits;
    counted([hits, alarms, truth.size - hits]);
    filled(names.map((name) => tables[sure][name][hits * (cells * cells - truth.size + 1) + alarms]));
  }
  const paint = (index, fill) => { if (fill) painted.add(index); else painted.delete(index); show(); };
  const shift = (right, down) => {
    painted = new Set([...painted].filter((index) => {
      const [column, row] = [(index % cells) + right, Math.floor(index / cells) + down];
      return column >= 0 && column < cells && row >= 0 && row < cells;
    }).map((index) => index + right + down * cells));
    show();
  };
  touched(area, (x, y, began) => {
    const [column, row] = [x, y].map((at) => Math.min(cells - 1, Math.max(0, Math.floor(at / size))));
    cursor = row * cells + column;
    if (began) filling = !painted.has(cursor);
    paint(cursor, filling);
  });
  const go = (by) => () => { cursor = (cursor + by + cells * cells) % (cells * cells); show(); };
  keyed(area, "mask; arrow keys move the cursor, space paints", {
    ArrowLeft: go(-1), ArrowRight: go(1), ArrowUp: go(-cells), ArrowDown: go(cells), " ": () => paint(cursor, !painted.has(cursor)),
  });
  const controls = html("div", { class: "controls" });
  side.prepend(controls);
  for (const [name, right, down] of [["←", -1, 0], ["→", 1, 0], ["↑", 0, -1], ["↓", 0, 1]]) {
    button(controls, name, () => shift(right, down)).setAttribute("aria-label", `shift the mask ${{ "←": "left", "→": "right", "↑": "up", "↓": "down" }[name]}`);
  }
  button(controls, "the truth", () => { painted = new Set(truth); show(); });
  button(controls, "nothing", () => { painted = new Set(); show(); });
  const surest = Object.keys(tables).sort();
  choice(side, "probability of what is painted", surest, sure, (chosen) => { sure = chosen; show(); });
  painted = new Set([...truth].map((index) => index - 11));
  show();
};
