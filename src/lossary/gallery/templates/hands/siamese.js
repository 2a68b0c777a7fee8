// Two digits through the same network: where they come out, how far apart, and what that costs.
hands.siamese = (place, { images, labels, features, distances, same, other }) => {
  const [width, height] = [420, 300];
  const chosen = [2, 7];
  const area = canvas(width, height, "two digits, one network, two features and the distance between them");
  const drawing = svg("g");
  area.append(drawing);
  const side = html("div", { class: "side" });
  const tops = html("div", {}, area);
  place.append(html("div", { class: "beside" }, tops, side));
  const filled = readings(side, ["distance", "if they are one digit", "if they are two"]);
  const rows = ["upper", "lower"].map((which, row) => {
    const group = html("div", { class: "thumbs", role: "group", "aria-label": `the ${which} image` });
    const buttons = images.map((image, index) => {
      const made = button(group, "", () => { chosen[row] = index; show(); });
      made.setAttribute("aria-label", `${which} image: a ${labels[index]}`);
      made.append(pixels(image));
      return made;
    });
    side.append(html("p", { class: "source" }, `the ${which} image`), group);
    return buttons;
  });

  const most = Math.max(...features.flat().map(Math.abs));
  const at = ([x, y]) => [310 + (95 * x) / most, 150 - (95 * y) / most];
  function show() {
    const ink = [colours[0], colours[1]];
    drawing.replaceChildren(svg("rect", { x: 205, y: 45, width: 210, height: 210, rx: 6, class: "card" }));
    features.forEach((feature, index) => {
      const [x, y] = at(feature);
      drawing.append(words(x, y + 4, `${labels[index]}`, { "text-anchor": "middle", class: "small muted" }));
    });
    chosen.forEach((index, row) => {
      const top = 45 + 125 * row;
      images[index].forEach((grey, pixel) => drawing.append(svg("rect", {
        x: 8 + 8.5 * (pixel % 8), y: top + 8.5 * Math.floor(pixel / 8), width: 8.6, height: 8.6, class: "ink", "fill-opacity": grey / 16,
      })));
      drawing.append(svg("rect", { x: 8, y: top, width: 68, height: 68, fill: "none", stroke: ink[row], "stroke-width": 2 }));
      drawing.append(svg("rect", { x: 104, y: top + 14, width: 78, height: 40, rx: 6, class: "card" }), words(143, top + 38, "network", { "text-anchor": "middle" }));
      arrow(drawing, ink[row])(78, top + 34, 24, 0);
      const [x, y] = at(features[index]);
      arrow(drawing, ink[row])(184, top + 34, x - 184, y - top - 34);
    });
    drawing.append(svg("line", { x1: 143, x2: 143, y1: 101, y2: 182, class: "trail" }), words(150, 145, "same", { class: "small muted" }), words(150, 158, "weights", { class: "small muted" }));
    const [[x1, y1], [x2, y2]] = chosen.map((index) => at(features[index]));
    drawing.append(svg("line", { x1, y1, x2, y2, class: "positive", "stroke-width": 3 }));
    chosen.forEach((index, row) => {
      const [cx, cy] = at(features[index]);
      drawing.append(svg("circle", { cx, cy, r: 6, fill: ink[row] }));
    });
    rows.forEach((buttons, row) => buttons.forEach((one, index) => one.setAttribute("aria-pressed", String(index === chosen[row]))));
    const [a, b] = chosen;
    filled([distances[a][b], same[a][b], other[a][b]]);
  }
  show();
};

function pixels(image) {
  const made = html("canvas", { width: 8, height: 8, "aria-hidden": "true" });
  const context = made.getContext("2d");
  const data = context.createImageData(8, 8);
  image.forEach((grey, index) => data.data.set([255 - 15.9 * grey, 255 - 15.9 * grey, 255 - 15.9 * grey, 255], 4 * index));
  context.putImageData(data, 0, 0);
  return made;
}
