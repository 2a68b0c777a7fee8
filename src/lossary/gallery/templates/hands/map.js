// Losses by kind, one below another, and an arc where one becomes another.
hands.map = (place, { kinds, unseen, arcs }) => {
  const [width, step, text] = [450, 21, 278];
  const rows = Object.entries(kinds).flatMap(([kind, names]) => [{ kind }, ...names.map((name) => ({ name }))]);
  const at = new Map(rows.map(({ name }, index) => [name, 14 + index * step]));
  const joined = Object.entries(arcs).map(([line, so]) => {
    const [, from, how, share, to] = line.match(/^(\w+), (.*): (½ )?(\w+)$/);
    return { from, to, how, share: share ?? "", so };
  });
  const area = canvas(width, rows.length * step + 8, "losses by kind, with an arc where one becomes another");
  const paths = joined.map(({ from, to }) => {
    const [y1, y2] = [at.get(from), at.get(to)];
    const reach = Math.min(160, 18 + 0.62 * Math.abs(y2 - y1));
    return svg("path", { d: `M${text + 8},${y1 - 4}C${text + 8 + reach},${y1 - 4} ${text + 8 + reach},${y2 - 4} ${text + 8},${y2 - 4}`, class: "arc" });
  });
  const labels = rows.map(({ kind, name }, index) => {
    const label = words(kind ? 4 : text, 14 + index * step, kind ?? `${unseen.includes(name) ? "○ " : ""}${name}`, kind ? { class: "kind" } : { "text-anchor": "end", class: "name" });
    if (name) {
      label.addEventListener("click", () => show(name));
      keyed(label, name, { Enter: () => show(name), " ": () => show(name), ArrowDown: () => near(name, 1), ArrowUp: () => near(name, -1) });
    }
    return { name, label };
  });
  area.append(...paths, ...labels.map(({ label }) => label));
  const list = html("ul", { class: "becomes", "aria-live": "polite" });
  place.append(html("div", { class: "beside" }, html("div", {}, area), html("div", { class: "side" }, html("p", {}, html("b", {}, "Choose a loss: ")), list)));
  function near(name, by) {
    const named = labels.filter((one) => one.name);
    const next = named[(named.findIndex((one) => one.name === name) + by + named.length) % named.length];
    next.label.focus();
    show(next.name);
  }
  function show(name) {
    for (const { name: other, label } of labels) {
      const close = joined.some(({ from, to }) => [from, to].includes(name) && [from, to].includes(other));
      label.classList.toggle("chosen", other === name);
      label.classList.toggle("near", Boolean(other) && other !== name && close);
    }
    joined.forEach(({ from, to }, index) => paths[index].classList.toggle("chosen", [from, to].includes(name)));
    const told = joined.filter(({ from, to }) => [from, to].includes(name));
    list.replaceChildren(...(told.length ? told : [{}]).map(({ from, to, how, share, so }) => {
      if (!from) return html("li", {}, `No arc of this map leads from ${name}.`);
      return html("li", { class: so ? "yes" : "no" }, html("code", {}, from), ` is ${share}`, html("code", {}, to), `: ${how}`);
    }));
    list.previousElementSibling.firstElementChild.textContent = name;
  }
  show("cross_entropy");
};
