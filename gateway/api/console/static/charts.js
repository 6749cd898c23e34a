// The two charts, in the colours of the page, light or dark.

import uPlot from "/console/uplot.esm.js";

// The chart in each element.
const plots = new Map();

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function draw(element, options, data) {
  plots.get(element)?.destroy();
  element.replaceChildren();
  const axis = { stroke: color("soft"), grid: { stroke: color("line") }, ticks: { stroke: color("line") } };
  const axes = options.axes.map((given) => ({ ...axis, ...given }));
  const width = Math.max(240, element.clientWidth);
  const plot = new uPlot({ ...options, axes, width, height: 240 }, data, element);
  plots.set(element, plot);
  resizes.observe(element);
}

const resizes = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const plot = plots.get(target);
    if (plot && plot.width !== Math.max(240, target.clientWidth)) {
      plot.setSize({ width: Math.max(240, target.clientWidth), height: 240 });
    }
  }
});

// points: results of /admin/whatif; current and chosen: the results for the threshold in use and the one selected.
export function quality(element, points, current, chosen) {
  const sorted = [...points, current, chosen].sort((a, b) => a.teacher_share - b.teacher_share);
  const good = (point) => point.expected_retention;
  const dot = (mark) => sorted.map((point) => (point === mark ? good(point) : null));
  const point = (stroke, size) => ({ show: true, size, stroke, fill: stroke });
  const percentage = (values) => values.map((value) => `${Math.round(100 * value)} %`);
  draw(
    element,
    {
      scales: { x: { time: false, range: [0, 1] } },
      axes: [
        { label: "teacher share of requests", values: (_, values) => percentage(values) },
        { label: "quality, of the teacher's", size: 60, values: (_, values) => percentage(values) },
      ],
      series: [
        { label: "teacher share", value: (_, value) => (value === null ? "–" : percentage([value])[0]) },
        { label: "recorded traffic", stroke: color("blue"), width: 2, points: { show: false } },
        { label: "current", stroke: color("green"), paths: () => null, points: point(color("green"), 12) },
        { label: "selected", stroke: color("red"), paths: () => null, points: point(color("red"), 8) },
      ],
    },
    [sorted.map((one) => one.teacher_share), sorted.map(good), dot(current), dot(chosen)],
  );
}

// curve: [{until, savings_usd}] in order of time.
export function money(element, curve, investment) {
  const times = curve.map((point) => Date.parse(point.until) / 1000);
  const savings = curve.map((point) => Number(point.savings_usd));
  draw(
    element,
    {
      axes: [{}, { label: "USD", size: 70 }],
      series: [
        {},
        { label: "savings, estimated", stroke: color("blue"), width: 2 },
        { label: "investment", stroke: color("red"), width: 2, dash: [8, 6], points: { show: false } },
      ],
    },
    [times, savings, times.map(() => investment)],
  );
}
