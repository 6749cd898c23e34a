// The slider: what a threshold would mean, applying it, and taking it back.

import { quality } from "/console/charts.js";
import { after, count, percent, usd } from "/console/format.js";

const $ = (id) => document.getElementById(id);

const ROWS = [
  ["share of the teacher", (p) => percent(p.teacher_share)],
  ["sent up as novel", (p) => percent(p.novel_share)],
  ["answers expected worse than the teacher's", worse],
  ["cost a month", (p) => usd(p.monthly_cost_usd)],
  ["saved a month", (p) => usd(p.monthly_savings_usd)],
];

function worse(point) {
  const range = point.expected_worse_interval;
  return percent(point.expected_worse_share) + (range ? ` (${percent(range[0])} to ${percent(range[1])})` : "");
}

export class Tuning {
  constructor(api, say) {
    this.api = api;
    this.say = say;
    this.before = [];
    this.asked = 0;
    $("threshold").oninput = () => this.preview();
    $("apply").onclick = () => this.apply(Number($("threshold").value));
    $("undo").onclick = () => this.undo();
  }

  async load() {
    this.policy = await this.api.admin("GET", "policy");
    const all = await this.api.admin("GET", "whatif");
    this.points = all.points;
    this.now = await this.whatIf(this.policy.threshold);
    const report = await this.api.admin("GET", "report");
    this.invested = Number(report.investment_usd);
    this.rest = this.invested - Number(report.savings_usd);
    const months = all.months === null ? "too short a time to speak of months" : `${all.months.toFixed(2)} months`;
    $("traffic").textContent =
      `From ${count(this.now.requests)} requests that this router scored, over ${months}. Quality comes from its calibrated ` +
      `scores, with the range that nine of ten such samples fall into. Router ${this.policy.artifact}.`;
    $("threshold").value = this.policy.threshold;
    this.show(this.now);
    $("undo").disabled = this.before.length === 0;
  }

  async whatIf(threshold) {
    return (await this.api.admin("GET", `whatif?threshold=${threshold}`)).points[0];
  }

  preview() {
    const chosen = Number($("threshold").value);
    $("threshold-value").textContent = chosen.toFixed(2);
    const asked = ++this.asked;
    clearTimeout(this.waiting);
    this.waiting = setTimeout(async () => {
      try {
        const point = await this.whatIf(chosen);
        if (asked === this.asked) this.show(point);
      } catch (fault) {
        this.say(fault.message, true);
      }
    }, 120);
  }

  show(chosen) {
    $("threshold-value").textContent = chosen.threshold.toFixed(2);
    $("threshold").setAttribute("aria-valuetext", `${chosen.threshold.toFixed(2)}: teacher ${percent(chosen.teacher_share)}`);
    const own = [["threshold", (p) => p.threshold.toFixed(2)], ...ROWS, ["break-even from here on", (p) => this.breakEven(p)]];
    const rows = own.map(([name, value]) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = name;
      row.append(head);
      for (const point of [this.now, chosen]) row.insertCell().textContent = value(point);
      return row;
    });
    $("figures").tBodies[0].replaceChildren(...rows);
    $("apply").disabled = chosen.threshold === this.policy.threshold;
    quality($("quality-chart"), this.points, this.now, chosen);
  }

  // When what is left of the investment would be saved at a point's pace.
  breakEven(point) {
    if (!this.invested) return "nothing invested";
    if (this.rest <= 0) return "reached";
    if (point.monthly_savings_usd === null) return "–";
    return after(point.monthly_savings_usd > 0 ? this.rest / point.monthly_savings_usd : null);
  }

  async apply(threshold) {
    const old = this.policy.source === "config" ? null : this.policy.threshold;
    await this.change(() => this.api.admin("PUT", "policy", { threshold, artifact: this.policy.artifact }), () => {
      this.before.push(old);
      return `Applied: ${threshold.toFixed(2)} holds from the next request on.`;
    });
  }

  async undo() {
    const old = this.before.at(-1);
    const call = () => (old === null ? this.api.admin("DELETE", "policy") : this.api.admin("PUT", "policy", { threshold: old }));
    await this.change(call, () => {
      this.before.pop();
      return "Taken back.";
    });
  }

  async change(call, done) {
    try {
      await call();
      const said = done();
      await this.load();
      this.say(said);
    } catch (fault) {
      this.say(fault.message, true);
    }
  }
}
