// One point is moved along a circle; every loss shows where it would take each of the points.
hands.circle = (place, { labels, others, centers, losses }) => {
  const [side, radius, longest] = [200, 58, 56];
  const ink = [colours[0], colours[1]];
  const grid = html("div", { class: "panels few" });
  const places = losses[Object.keys(losses)[0]].arrows.length;
  const onCircle = (degrees) => [side / 2 + radius * Math.cos(degrees * Math.PI / 180), side / 2 - radius * Math.sin(degrees * Math.PI / 180)];
  let turn = () => {};
  let now = 0;
  const shown = Object.entries(losses).map(([name, { values, arrows }]) => {
    const area = canvas(side, side, `${name}: six embeddings on a circle, with the way that each is pulled`);
    area.append(svg("circle", { cx: side / 2, cy: side / 2, r: radius, class: "rule" }));
    if (name === "ArcFace" || name === "center loss") {
      centers.forEach(([x, y], index) => area.append(svg("circle", { cx: side / 2 + radius * x, cy: side / 2 - radius * y, r: 7, fill: "none", stroke: ink[index], "stroke-dasharray": "2 2" })));
    }
    const largest = Math.max(...arrows.flat().map(([x, y]) => Math.hypot(x, y)));
    const points = labels.map((label, index) => svg("circle", { r: index ? 4.5 : 8, fill: ink[label], class: index ? "" : "handle" }));
    const pulls = labels.map((label) => arrow(area, ink[label]));
    area.append(...points);
    const note = html("figcaption");
    grid.append(html("figure", {}, html("h4", {}, name), area, note));
    touched(area, (x, y) => turn(Math.round((Math.atan2(side / 2 - y, x - side / 2) * 180 / Math.PI + 360) / (360 / places)) % places * (360 / places)));
    keyed(area, `${name}; arrow keys move the large point`, { ArrowLeft: () => turn((now + 2) % 360), ArrowRight: () => turn((now + 358) % 360) });
    return (degrees) => {
      const index = Math.round(degrees / (360 / places)) % places;
      [degrees, ...others].forEach((angle, point) => {
        const [x, y] = onCircle(angle);
        points[point].setAttribute("cx", x);
        points[point].setAttribute("cy", y);
        const [dx, dy] = arrows[index][point].map((part) => (longest * part) / largest);
        pulls[point](x, y, dx, -dy);
      });
      note.textContent = `loss ${told(values[index], 4)}`;
    };
  });
  const controls = html("div", { class: "controls" });
  place.append(controls, grid);
  turn = dial(controls, "angle of the moved point", { min: 0, max: 360 - 360 / places, step: 360 / places, value: 150, tell: (degrees) => `${degrees}°` }, (degrees) => {
    now = degrees;
    for (const move of shown) move(degrees);
  });
};
