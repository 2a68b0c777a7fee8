// Points in space and the plane between them, turned by hand.
hands.space = (place, { points, labels, plane, "line right": byLine, "plane right": byPlane }) => {
  const [width, height, scale] = [400, 330, 105];
  const area = canvas(width, height, "a disc inside a ring, lifted by the squared distance, and the plane between");
  const sheet = svg("path", { class: "sheet" });
  const dots = labels.map((label) => svg("circle", { r: 4, fill: colours[label], "fill-opacity": 0.9 }));
  const axes = svg("g");
  area.append(axes, sheet, ...dots);
  const controls = html("div", { class: "side" });
  place.append(html("div", { class: "beside" }, html("div", {}, area), controls));
  const view = { turn: 30, lift: 20 };
  const seen = ([x, y, z]) => {
    const [turn, lift] = [view.turn, view.lift].map((degrees) => degrees * Math.PI / 180);
    const depth = -x * Math.sin(turn) + y * Math.cos(turn);
    return [width / 2 + scale * (x * Math.cos(turn) + y * Math.sin(turn)), 185 - scale * ((z - 0.45) * Math.cos(lift) + depth * Math.sin(lift))];
  };
  function show() {
    points.forEach((point, index) => seen(point).forEach((value, axis) => dots[index].setAttribute(axis ? "cy" : "cx", value)));
    const corners = [[-1.25, -1.25], [1.25, -1.25], [1.25, 1.25], [-1.25, 1.25]].map(([x, y]) => [x, y, -(plane[3] + plane[0] * x + plane[1] * y) / plane[2]]);
    sheet.setAttribute("d", `M${corners.map((corner) => seen(corner).join()).join("L")}Z`);
    axes.replaceChildren(...[[1.4, 0, 0, "x₁"], [0, 1.4, 0, "x₂"], [0, 0, 1.5, "x₁² + x₂²"]].flatMap(([x, y, z, name]) => {
      const [[x1, y1], [x2, y2]] = [seen([0, 0, 0]), seen([x, y, z])];
      return [svg("line", { x1, y1, x2, y2, class: "rule" }), words(x2, y2, name, { class: "small muted", "text-anchor": "middle" })];
    }));
  }
  const set = {};
  const turnTo = (value) => { view.turn = value; show(); };
  const liftTo = (value) => { view.lift = value; show(); };
  set.turn = dial(controls, "turn", { min: -180, max: 180, step: 2, value: view.turn, tell: (degrees) => `${degrees}°` }, turnTo);
  set.lift = dial(controls, "height of the eye", { min: 0, max: 90, step: 2, value: view.lift, tell: (degrees) => `${degrees}°` }, liftTo);
  const row = html("div", { class: "controls" });
  controls.append(row);
  button(row, "from above", () => set.lift(90));
  button(row, "from the side", () => set.lift(0));
  readings(controls, ["right by the best line", "right by the plane"])([`${byLine} of ${points.length}`, `${byPlane} of ${points.length}`]);
  let last = [0, 0];
  touched(area, (x, y, began) => {
    if (!began) {
      set.turn(Math.max(-180, Math.min(180, view.turn + (x - last[0]) / 2)));
      set.lift(Math.max(0, Math.min(90, view.lift + (y - last[1]) / 2)));
    }
    last = [x, y];
  });
};
