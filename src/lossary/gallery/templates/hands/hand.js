// Pictures that are moved by hand. The library computed every position that they can take; a script looks it up and draws.
// Each other file of this folder adds one kind: hands.kind = (place, data) => { ... }, with what the exhibit's function returned.
const hands = {};
const { colours, data: given } = JSON.parse(document.getElementById("hands").textContent);

function element(space, name, attributes, children) {
  const made = document.createElementNS(space, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
const html = (name, attributes = {}, ...children) => element("http://www.w3.org/1999/xhtml", name, attributes, children);
const svg = (name, attributes = {}, ...children) => element("http://www.w3.org/2000/svg", name, attributes, children);

/** A picture of a fixed inner size, which is what its text is measured in. */
function canvas(width, height, label, attributes = {}) {
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "canvas", ...attributes });
}

/** Text whose size and place are in the picture's own units. */
const words = (x, y, text, attributes = {}) => svg("text", { x, y, ...attributes }, text);

/** A number in few digits, with a true minus. */
function told(value, digits = 3) {
  if (value === 0) return "0";
  const text = Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5 ? value.toExponential(1) : String(Number(value.toPrecision(digits)));
  return text.replace(/-/g, "−");
}

/** A dial with a name, a range and what it stands at; returns how to set it. */
function dial(place, name, { min, max, step = 1, value, tell = told }, moved) {
  const input = html("input", { type: "range", min, max, step, value });
  const output = html("output");
  place.append(html("label", { class: "dial" }, html("span", {}, name), input, output));
  const set = (to) => {
    input.value = to;
    output.textContent = tell(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent);
    moved(Number(input.value));
  };
  input.addEventListener("input", () => set(input.value));
  set(value);
  return set;
}

/** One of some names, as buttons of a group. */
function choice(place, name, options, chosen, moved) {
  const group = html("fieldset", { class: "choice" }, html("legend", {}, name));
  const id = `${place.closest("section").id}-${name.replace(/\W/g, "")}`;
  for (const option of options) {
    const input = html("input", { type: "radio", name: id, value: option });
    input.checked = option === chosen;
    input.addEventListener("change", () => moved(option));
    group.append(html("label", {}, input, html("span", {}, option)));
  }
  place.append(group);
  moved(chosen);
}

function button(place, name, pressed) {
  const made = html("button", { type: "button" }, name);
  made.addEventListener("click", () => pressed(made));
  place.append(made);
  return made;
}

/** A row of numbers by name; returns how to fill it. With `most`, a bar beside each that is full there. */
function readings(place, names, most = 0, swatches = []) {
  const values = names.map(() => html("td"));
  const bars = names.map(() => html("i"));
  const body = html("tbody", {}, ...names.map((name, index) => {
    const mark = swatches[index] ? [html("b", { class: "patch", style: `background:${swatches[index]}` })] : [];
    const bar = most ? [html("td", { class: "bar", "aria-hidden": "true" }, bars[index])] : [];
    return html("tr", {}, html("th", { scope: "row" }, ...mark, name), values[index], ...bar);
  }));
  place.append(html("table", { class: "readings" }, body));
  return (numbers) => numbers.forEach((number, index) => {
    values[index].textContent = typeof number === "number" ? told(number, 4) : number;
    if (most) bars[index].style.width = `${100 * Math.min(1, Math.max(0, number / most))}%`;
  });
}

/** Pointer, finger or pen on a picture, in its own units: `moved(x, y, began)`. */
function touched(area, moved) {
  area.classList.add("touched");
  const at = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(area.getScreenCTM().inverse());
  area.addEventListener("pointerdown", (event) => {
    area.setPointerCapture(event.pointerId);
    const { x, y } = at(event);
    moved(x, y, true);
  });
  area.addEventListener("pointermove", (event) => {
    if (!area.hasPointerCapture(event.pointerId)) return;
    const { x, y } = at(event);
    moved(x, y, false);
  });
}

/** The keys of a thing that is moved: `moves` by the key's name. */
function keyed(thing, label, moves) {
  thing.setAttribute("tabindex", "0");
  thing.setAttribute("role", "application");
  thing.setAttribute("aria-label", label);
  thing.addEventListener("keydown", (event) => {
    if (!(event.key in moves)) return;
    event.preventDefault();
    moves[event.key]();
  });
}

/** An arrow of a picture; returns how to place it. A short one is no more than a dot. */
function arrow(group, colour) {
  const line = svg("line", { stroke: colour, "stroke-width": 2 });
  const head = svg("path", { fill: colour });
  group.append(line, head);
  return (x, y, dx, dy) => {
    const length = Math.hypot(dx, dy);
    const visible = length > 1.5;
    for (const part of [line, head]) part.setAttribute("visibility", visible ? "visible" : "hidden");
    if (!visible) return;
    const [ux, uy] = [dx / length, dy / length];
    const size = Math.min(6, length);
    const [bx, by] = [x + dx - size * ux, y + dy - size * uy];
    for (const [key, value] of Object.entries({ x1: x, y1: y, x2: bx, y2: by })) line.setAttribute(key, value);
    head.setAttribute("d", `M${x + dx},${y + dy}L${bx - 0.5 * size * uy},${by + 0.5 * size * ux}L${bx + 0.5 * size * uy},${by - 0.5 * size * ux}Z`);
  };
}

/** Saves the first picture of an exhibit as it stands, with the colours that the page gives it. */
async function save(place, kind) {
  const shown = place.querySelector("svg.canvas");
  const copy = shown.cloneNode(true);
  const { width, height } = shown.viewBox.baseVal;
  const [from, to] = [shown, copy].map((root) => [root, ...root.querySelectorAll("*")]);
  from.forEach((original, index) => {
    const style = getComputedStyle(original);
    for (const key of ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-family", "font-size", "font-weight", "text-anchor", "visibility"]) {
      to[index].style.setProperty(key, style.getPropertyValue(key));
    }
  });
  await hand(copy, 2 * width, 2 * height, place.closest("section").id, kind);
}

/** Saves a whole exhibit as it stands, text and all. */
async function saveCard(section, kind) {
  const { width, height } = section.getBoundingClientRect();
  const copy = section.cloneNode(true);
  copy.querySelector(".save").remove();
  const { font, color } = getComputedStyle(document.body);
  const inside = html("div", { style: `font: ${font.replaceAll('"', "'")}; color: ${color}` }, html("style", {}, document.querySelector("style").textContent), copy);
  const area = svg("svg", { viewBox: `0 0 ${width} ${height}` });
  area.append(svg("foreignObject", { width, height }));
  area.firstChild.append(inside);
  await hand(area, width, height, section.id, kind);
}

/** Hands a picture to the one who reads, in a file named after its exhibit. */
async function hand(area, width, height, id, kind) {
  area.setAttribute("width", width);
  area.setAttribute("height", height);
  let address = `data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(area))}`;
  if (kind === "png") {
    const picture = new Image();
    picture.src = address;
    await picture.decode();
    const pixels = html("canvas", { width: 2 * width, height: 2 * height });
    pixels.getContext("2d").drawImage(picture, 0, 0, pixels.width, pixels.height);
    address = pixels.toDataURL();
  }
  html("a", { href: address, download: `lossary-${id}.${kind}` }).click();
}

function offer(place, label, saved) {
  const row = html("p", { class: "save" }, label);
  for (const kind of ["svg", "png"]) button(row, kind.toUpperCase(), () => saved(kind));
  place.append(row);
}

addEventListener("DOMContentLoaded", () => {
  let drawn = 0;
  for (const [id, { kind, ...data }] of Object.entries(given)) {
    const place = document.getElementById(`hand-${id}`);
    try {
      hands[kind](place, data);
      if (place.querySelector("svg.canvas")) {
        offer(place, "Save the picture as ", (kind) => save(place, kind));
      }
      drawn += 1;
    } catch (error) {
      place.textContent = `This picture could not be drawn: ${error.message}`;
      console.error(error);
    }
  }
  for (const section of document.querySelectorAll("section.exhibit, section.erratum")) {
    if (!section.querySelector(".chart, .hand")) offer(section, "Save as ", (kind) => saveCard(section, kind));
  }
  document.documentElement.dataset.hands = drawn;
});
