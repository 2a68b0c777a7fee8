// Draws every specification into the element of its name, in the ink of the page's light or dark theme.
const specs = JSON.parse(document.getElementById("specs").textContent);
const theme = matchMedia("(prefers-color-scheme: dark)");

function config() {
  const css = getComputedStyle(document.documentElement);
  const [ink, muted, rule] = ["--ink", "--muted", "--rule"].map((name) => css.getPropertyValue(name).trim());
  const font = css.getPropertyValue("--sans").trim();
  return {
    background: null,
    font,
    view: { stroke: null },
    axis: {
      domainColor: rule, gridColor: rule, tickColor: rule, gridOpacity: 0.7,
      labelColor: muted, labelFontSize: 12, labelPadding: 6,
      titleColor: muted, titleFontSize: 12, titleFontWeight: 500, titlePadding: 10,
    },
    // On a phone the plot beside long names is narrower than its title, which may not run out to the right.
    axisX: { grid: true, domain: false, ticks: false, titleAnchor: "end" },
    axisY: { domain: false, ticks: false },
    legend: { labelColor: muted, titleColor: muted, labelFontSize: 12, labelLimit: 0, symbolStrokeWidth: 3 },
    text: { color: ink },
  };
}

async function draw() {
  const settings = { actions: document.documentElement.dataset.save ? { export: true, source: false, compiled: false, editor: false } : false, renderer: "svg", mode: "vega-lite", config: config(), tooltip: { theme: theme.matches ? "dark" : "light" } };
  let drawn = 0;
  for (const [id, spec] of Object.entries(specs)) {
    const place = document.getElementById(`figure-${id}`);
    try {
      place.view = (await vegaEmbed(place, spec, settings)).view;
      drawn += 1;
    } catch (error) {
      // The others are drawn all the same.
      place.textContent = `This figure could not be drawn: ${error.message}`;
      console.error(error);
    }
  }
  document.documentElement.dataset.drawn = drawn;
}

// A table that is wider than its place says so, where the style asks for it.
function measure() {
  for (const place of document.querySelectorAll(".scroll")) place.classList.toggle("wide", place.scrollWidth > place.clientWidth + 1);
}

addEventListener("resize", measure);
measure();
theme.addEventListener("change", draw);
draw();
