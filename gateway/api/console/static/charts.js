// The charts, in the colours of the page, light or dark.

import uPlot from "/console/uplot.esm.js";
import { h } from "/console/dom.js";

// What is drawn in each element, so that it can be drawn again.
const drawn = new Map();

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const widthOf = (element) => Math.max(200, element.clientWidth);
const ticks = (_, values) => values.map((value) => `${Math.round(100 * value)}%`);
// A tick of an axis, with as many digits as tell it from the next one.
const dollars = (value) => {
  const amount = Math.abs(value);
  const [, fraction = ""] = String(Number(amount.toPrecision(6))).split(".");
  const text = amount >= 1000 ? `${(amount / 1000).toFixed(1)}k` : fraction ? amount.toFixed(Math.max(2, fraction.length)) : String(amount);
  return `${value < 0 ? "-" : ""}$${text}`;
};
// Times are UTC everywhere: days of the ledger are, and so are the other times of the page.
const inUtc = (seconds) => uPlot.tzDate(new Date(1000 * seconds), "UTC");
// uPlot's way of saying how ticks are labelled that are as many seconds apart, and what is added where a day begins.
const MOMENTS = [
  [86_400, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
];

// A figure: `label` says in words what the chart shows, `make` gives uPlot's options and data in the colours of now, and
// `legend` has a text for each series, by the name of its colour.
export function figure(label, legend, make, height = 260) {
  const place = h("div.chart", { role: "img", "aria-label": label });
  drawn.set(place, { make, height });
  resizes.observe(place);
  const marks = legend.map(([name, kind, text]) => h("li", {}, h(`span.swatch.${kind}.of-${name}`, { "aria-hidden": "true" }), text));
  return h("figure", {}, place, h("figcaption", {}, h("ul.legend", {}, marks)));
}

function draw(place) {
  const { make, height, plot } = drawn.get(place);
  plot?.destroy();
  const { data, axes, ...options } = make(color);
  const axis = { stroke: color("muted"), grid: { stroke: color("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  const given = { ...options, tzDate: inUtc, axes: axes.map((one) => ({ ...axis, ...one })), width: widthOf(place), height: Math.min(height, Math.round(widthOf(place) * 0.72)), legend: { show: false }, cursor: { show: false } };
  drawn.get(place).plot = new uPlot(given, data, place);
}

// An element has a width only once it is in the page, which its observer tells; one that has left it is forgotten.
const resizes = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const known = drawn.get(target);
    if (known === undefined) continue;
    if (!target.isConnected) {
      known.plot?.destroy();
      drawn.delete(target);
      resizes.unobserve(target);
    } else if (target.clientWidth && known.plot?.width !== widthOf(target)) draw(target);
  }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach((_, place) => place.isConnected && draw(place)));

const none = () => null;
const dot = (stroke, size) => ({ paths: none, stroke, points: { show: true, size, stroke, fill: stroke } });

// Quality by teacher share: points of /admin/whatif in order of their share; `marks`: [{share, quality, low, color, size}]
// beside the curve; `chosen`: the point of the slider; `floor`: the promised quality, null without.
export function quality(label, legend, points, marks, chosen, floor) {
  return figure(label, legend, (tone) => {
    const xs = [...new Set([...points.map((one) => one.teacher_share), ...marks.map((one) => one.share)])].sort((a, b) => a - b);
    const by = new Map(points.map((one) => [one.teacher_share, one]));
    const band = (end) => xs.map((x) => by.get(x)?.expected_retention_interval?.[end]);
    const lows = [...points.map((one) => one.expected_retention_interval?.[0] ?? 1), ...marks.map((one) => one.low ?? one.quality), floor ?? 1];
    const least = Math.max(0, Math.min(...lows) - 0.03);
    const line = (u) => {
      if (!chosen) return;
      const x = Math.round(u.valToPos(chosen.teacher_share, "x", true)) + 0.5;
      u.ctx.save();
      u.ctx.strokeStyle = tone("accent");
      u.ctx.lineWidth = 2 * devicePixelRatio;
      u.ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
      u.ctx.beginPath();
      u.ctx.moveTo(x, u.bbox.top);
      u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
      u.ctx.stroke();
      u.ctx.restore();
    };
    return {
      scales: { x: { time: false, range: [0, 1] }, y: { range: [least, Math.max(1.01, ...marks.map((one) => one.quality))] } },
      axes: [
        { values: ticks, size: 26, label: "share of requests sent to the teacher", labelFont: "12px system-ui, sans-serif", labelSize: 18 },
        { values: ticks, size: 48 },
      ],
      bands: [{ series: [1, 2], fill: tone("band") }],
      series: [
        {},
        { stroke: "transparent", points: { show: false }, spanGaps: true },
        { stroke: "transparent", points: { show: false }, spanGaps: true },
        { stroke: tone("student"), width: 2, points: { show: false }, spanGaps: true },
        { stroke: tone("muted"), width: 1, dash: [6, 5], points: { show: false }, spanGaps: true },
        ...marks.map((one) => dot(tone(one.color), one.size ?? 11)),
      ],
      data: [
        xs,
        band(1),
        band(0),
        xs.map((x) => by.get(x)?.expected_retention),
        xs.map((_, index) => (floor !== null && (index === 0 || index === xs.length - 1) ? floor : null)),
        ...marks.map((one) => xs.map((x) => (x === one.share ? one.quality : null))),
      ],
      hooks: { draw: [line] },
    };
  }, 320);
}

// Cumulative savings: [{until, savings_usd}] in order of time, and the investment.
export function savings(label, curve, investment) {
  const times = curve.map((point) => Date.parse(point.until) / 1000);
  const values = curve.map((point) => Number(point.savings_usd));
  // While hardly anything is saved, the line of the investment would press the curve flat.
  const shown = investment > 0 && investment < 12 * Math.max(...values.map(Math.abs));
  const legend = [["student", "line", "savings, estimated"], ...(shown ? [["teacher", "dash", "investment"]] : [])];
  return figure(label, legend, (tone) => ({
    axes: [{ values: MOMENTS }, { values: (_, ticks) => ticks.map(dollars), size: 60 }],
    series: [
      {},
      { stroke: tone("student"), width: 2, fill: tone("band"), points: { show: false } },
      { stroke: tone("teacher"), width: 2, dash: [8, 6], points: { show: false } },
    ],
    data: [times, values, times.map(() => (shown ? investment : null))],
  }));
}

// Requests by who answered them: the body of /admin/series.
export function requests(label, { points, step }) {
  const seconds = step / 1e6;
  const times = points.map((one) => one.at / 1e6 + seconds / 2);
  const both = points.map((one) => one.student + one.teacher);
  const bars = uPlot.paths.bars({ size: [0.8, 42], align: 0 });
  const legend = [["student", "box", "student"], ["teacher", "box", "teacher"]];
  return figure(label, legend, (tone) => ({
    scales: { x: { range: [times[0] - seconds / 2, times.at(-1) + seconds / 2] }, y: { range: (_, __, most) => [0, Math.max(1, most * 1.1)] } },
    axes: [{ values: MOMENTS }, { size: 46 }],
    series: [
      {},
      { stroke: tone("teacher"), fill: tone("teacher"), paths: bars, points: { show: false } },
      { stroke: tone("student"), fill: tone("student"), paths: bars, points: { show: false } },
    ],
    data: [times, both, points.map((one) => one.student)],
  }), 200);
}

// An estimate with its interval as a mark on a line from `least` to `most`; `at`: a value that is marked, such as 0.
export function whisker({ value, low, high }, least, most, at) {
  const place = (one) => `${(100 * (Math.min(most, Math.max(least, one)) - least)) / (most - least)}%`;
  const range = h("span.range");
  range.style.left = place(low);
  range.style.width = `calc(${place(high)} - ${place(low)})`;
  const middle = h("span.middle");
  middle.style.left = place(value);
  const zero = at === undefined ? null : h("span.zero");
  if (zero) zero.style.left = place(at);
  return h("span.whisker", { "aria-hidden": "true" }, zero, range, middle);
}
