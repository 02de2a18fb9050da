// Shows a chart's figures at a point: under the pointer, or with the arrow keys once the chart has the focus.
export function readCharts() {
  const mark = document.createElement("div");
  const text = mark.appendChild(document.createElement("span"));
  mark.className = "chart-at";
  mark.hidden = true;
  mark.setAttribute("role", "status");
  document.body.append(mark);
  let at = Infinity; // the point that the keys are on

  const pointsOf = (chart) => [...chart.querySelectorAll("polyline")].flatMap((line) => [...line.points]);
  const chartOf = ({ target }) => target.closest?.("[data-chart]");
  const hide = () => (mark.hidden = true);

  function show(chart, point) {
    const { left, top, width, height } = chart.getBoundingClientRect();
    mark.classList.toggle("left", point.x > 600);
    mark.style.left = `${left + (width * point.x) / 1000}px`;
    mark.style.top = `${top}px`;
    mark.style.height = `${height - 20}px`;
    const value = chart.dataset.top * (1 - point.y / 100);
    text.textContent = `${inUnit[chart.dataset.chart](value)} at ${duration((chart.dataset.span * point.x) / 1000)}`;
    mark.hidden = false;
  }

  document.addEventListener("pointermove", (event) => {
    const chart = chartOf(event);
    if (!chart) return document.activeElement.dataset.chart || hide();
    const { left, width } = chart.getBoundingClientRect();
    const x = ((event.clientX - left) / width) * 1000;
    const points = pointsOf(chart);
    if (points.length) show(chart, points.reduce((a, b) => (Math.abs(b.x - x) < Math.abs(a.x - x) ? b : a)));
  });
  document.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    const chart = chartOf(event);
    if (event.key === "Escape") hide();
    if (!chart || !step) return;
    const points = pointsOf(chart);
    at = Math.min(Math.max(Math.min(at, points.length) + step, 0), points.length - 1);
    show(chart, points[at]);
    event.preventDefault();
  });
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", hide, { capture: true, passive: true });
}

const inUnit = {
  cores: (value) => `${value.toFixed(2)} cores`,
  percent: (value) => `${value.toFixed(0)} %`,
  bytes: (value) => {
    const power = Math.min(Math.floor(Math.log10(Math.max(value, 1)) / 3), 4);
    return `${(value / 1000 ** power).toFixed(power ? 1 : 0)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
  },
};

function duration(seconds) {
  const whole = Math.round(seconds);
  const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = Math.max(0, parts.findIndex(([, size]) => whole >= size));
  return parts.slice(first < 4 ? first : 3, first + 2)
    .map(([unit, size], index) => `${Math.floor((index ? whole % parts[first][1] : whole) / size)} ${unit}`).join(" ");
}
