// Six items in an order; every loss shows which of them it wants nearer to the front.
hands.ranks = (place, { relevance, orders, losses, NDCG }) => {
  const [width, row, top] = [440, 54, 36];
  const names = Object.keys(losses);
  const places = new Map(orders.map((order, index) => [order.join(), index]));
  const largest = names.map((name) => Math.max(...losses[name].pulls.flat().map(Math.abs)));
  let order = [3, 1, 4, 0, 5, 2];
  const area = canvas(width, top + 6 * row + 4, "six items in an order, with the way that four losses pull each");
  const column = (index) => 160 + 74 * index;
  area.append(...names.map((name, index) => words(column(index), index % 2 ? 28 : 13, name, { "text-anchor": "middle", class: "small" })));
  area.append(...relevance.map((_, rank) => words(6, top + row * rank + 33, `${rank + 1}.`, { class: "muted" })));
  const items = relevance.map((stars, item) => {
    const group = svg("g", { class: "item" });
    group.append(svg("rect", { x: 26, y: 3, width: width - 30, height: row - 6, rx: 6, class: "card" }));
    group.append(words(38, 33, "ABCDEF"[item], { "font-weight": 600 }), words(58, 33, stars ? "★".repeat(stars) : "–", { class: "stars" }));
    const pulls = names.map((_, index) => arrow(group, colours[index]));
    area.append(group);
    keyed(group, `item ${"ABCDEF"[item]}, ${stars} stars; arrow keys move it`, { ArrowUp: () => move(item, order.indexOf(item) - 1), ArrowDown: () => move(item, order.indexOf(item) + 1) });
    return { group, pulls };
  });
  const side = html("div", { class: "side" });
  place.append(html("div", { class: "beside" }, html("div", {}, area), side));
  const filled = readings(side, [...names, "NDCG"], 0, names.map((_, index) => colours[index]));

  function show() {
    const index = places.get(order.join());
    order.forEach((item, rank) => {
      items[item].group.setAttribute("transform", `translate(0 ${top + row * rank})`);
      names.forEach((name, which) => {
        const pull = (40 * losses[name].pulls[index][rank]) / largest[which];
        items[item].pulls[which](column(which), row / 2 + pull / 2, 0, -pull);
      });
    });
    filled([...names.map((name) => losses[name].values[index]), NDCG[index]]);
  }
  function move(item, to) {
    if (to < 0 || to >= order.length) return;
    order = order.filter((other) => other !== item);
    order.splice(to, 0, item);
    show();
  }
  let held = -1;
  touched(area, (x, y, began) => {
    const rank = Math.min(5, Math.max(0, Math.floor((y - top) / row)));
    if (began) held = order[rank];
    else move(held, rank);
  });
  const controls = html("div", { class: "controls" });
  side.prepend(controls);
  const best = [...order].sort((a, b) => a - b);
  button(controls, "best first", () => { order = [...best]; show(); });
  button(controls, "worst first", () => { order = [...best].reverse(); show(); });
  button(controls, "best one last", () => { order = [...best.slice(1), best[0]]; show(); });
  button(controls, "first two swapped", () => { order = [best[1], best[0], ...best.slice(2)]; show(); });
  show();
};
