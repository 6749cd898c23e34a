// The slider: shows the effect of a threshold on recorded traffic, applies it, and undoes that.

import { quality } from "/console/charts.js";
import { after, count, percent, usd } from "/console/format.js";

const $ = (id) => document.getElementById(id);

const ROWS = [
  ["teacher share", (p) => percent(p.teacher_share)],
  ["sent to the teacher as novel", (p) => percent(p.novel_share)],
  ["answers expected to be worse than the teacher's", worse],
  ["monthly cost", (p) => usd(p.monthly_cost_usd)],
  ["monthly savings", (p) => usd(p.monthly_savings_usd)],
];

function worse(point) {
  const range = point.expected_worse_interval;
  return percent(point.expected_worse_share) + (range ? ` (${percent(range[0])} to ${percent(range[1])})` : "");
}

export class Tuning {
  constructor(api, showStatus) {
    this.api = api;
    this.showStatus = showStatus;
    this.previous = []; // thresholds to undo to; null is the one of the config file
    this.requests = 0; // numbers the previews, so that only the response to the last one is shown
    $("threshold").oninput = () => this.preview();
    $("apply").onclick = () => this.apply(Number($("threshold").value));
    $("undo").onclick = () => this.undo();
  }

  async load() {
    this.policy = await this.api.admin("GET", "policy");
    const all = await this.api.admin("GET", "whatif");
    this.points = all.points;
    this.current = await this.whatIf(this.policy.threshold);
    const report = await this.api.admin("GET", "report");
    this.investment = Number(report.investment_usd);
    this.remaining = this.investment - Number(report.savings_usd);
    const months = all.months === null ? "less than an hour" : `${all.months.toFixed(2)} months`;
    $("traffic").textContent =
      `From ${count(this.current.requests)} requests that this router scored, over ${months}. Quality is estimated from its ` +
      `calibrated scores, with a 90% interval. Router ${this.policy.artifact}.`;
    $("threshold").value = this.policy.threshold;
    this.show(this.current);
    $("undo").disabled = this.previous.length === 0;
  }

  async whatIf(threshold) {
    return (await this.api.admin("GET", `whatif?threshold=${threshold}`)).points[0];
  }

  preview() {
    const chosen = Number($("threshold").value);
    $("threshold-value").textContent = chosen.toFixed(2);
    const number = ++this.requests;
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => {
      try {
        const point = await this.whatIf(chosen);
        if (number === this.requests) this.show(point);
      } catch (error) {
        this.showStatus(error.message, true);
      }
    }, 120);
  }

  show(chosen) {
    $("threshold-value").textContent = chosen.threshold.toFixed(2);
    $("threshold").setAttribute("aria-valuetext", `${chosen.threshold.toFixed(2)}: teacher ${percent(chosen.teacher_share)}`);
    const shown = [["threshold", (p) => p.threshold.toFixed(2)], ...ROWS, ["break-even at this threshold", (p) => this.breakEven(p)]];
    const rows = shown.map(([name, value]) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = name;
      row.append(head);
      for (const point of [this.current, chosen]) row.insertCell().textContent = value(point);
      return row;
    });
    $("figures").tBodies[0].replaceChildren(...rows);
    $("apply").disabled = chosen.threshold === this.policy.threshold;
    quality($("quality-chart"), this.points, this.current, chosen);
  }

  // The date by which the rest of the investment is saved at the monthly savings of `point`.
  breakEven(point) {
    if (!this.investment) return "nothing invested";
    if (this.remaining <= 0) return "reached";
    if (point.monthly_savings_usd === null) return "–";
    return after(point.monthly_savings_usd > 0 ? this.remaining / point.monthly_savings_usd : null);
  }

  async apply(threshold) {
    const old = this.policy.source === "config" ? null : this.policy.threshold;
    await this.change(() => this.api.admin("PUT", "policy", { threshold, artifact: this.policy.artifact }), () => {
      this.previous.push(old);
      return `Applied: threshold ${threshold.toFixed(2)} is in use from the next request on.`;
    });
  }

  async undo() {
    const old = this.previous.at(-1);
    const call = () => (old === null ? this.api.admin("DELETE", "policy") : this.api.admin("PUT", "policy", { threshold: old }));
    await this.change(call, () => {
      this.previous.pop();
      return "Undone.";
    });
  }

  // Make a change, reload, and show the message that `done` returns.
  async change(call, done) {
    try {
      await call();
      const message = done();
      await this.load();
      this.showStatus(message);
    } catch (error) {
      this.showStatus(error.message, true);
    }
  }
}
