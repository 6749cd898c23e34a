// The slider: shows the effect of a threshold on recorded traffic, applies it, and undoes that.

import { quality } from "/console/charts.js";
import { after, breakEven, count, HOURS_A_MONTH, NOT_MEASURED, percent, usd } from "/console/format.js";

const $ = (id) => document.getElementById(id);

const ROWS = [
  ["teacher share", (p) => percent(p.teacher_share)],
  ["sent to the teacher as novel", (p) => percent(p.novel_share)],
  ["quality expected, of the teacher's", kept],
  ["monthly cost", (p) => usd(p.monthly_cost_usd)],
  ["monthly savings", (p) => usd(p.monthly_savings_usd)],
];

// The expected share of the teacher's quality with its interval; of a result of /admin/whatif.
function kept(point) {
  if (point.expected_retention === null) return NOT_MEASURED;
  const [low, high] = point.expected_retention_interval;
  return `${percent(point.expected_retention)} (95%: ${percent(low)} to ${percent(high)})`;
}

// What the quality rests on, or what it takes to have it; `seen` is the body of /admin/whatif.
function basis(seen) {
  if (seen.comparisons_needed > 0) return `Quality is ${NOT_MEASURED}: ${more(seen.comparisons_needed)}.`;
  return `Quality is expected from ${count(seen.comparisons)} compared answers of this student, with a 95% interval.`;
}

const more = (number) => `${count(number)} more comparison${number === 1 ? "" : "s"}`;

// What the monthly figures rest on; `seen` is the body of /admin/whatif.
function costs(seen) {
  if (seen.compared_pairs_needed > 0) {
    return `Costs are unknown: ${count(seen.compared_pairs_needed)} more comparisons with the teacher's answers are needed.`;
  }
  return `The teacher's cost for the student's requests is estimated from ${count(seen.compared_pairs)} compared answers.`;
}

export class Tuning {
  // `changed` is awaited after a change, for what else depends on it.
  constructor(api, showStatus, changed) {
    this.api = api;
    this.showStatus = showStatus;
    this.changed = changed;
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
    this.needed = all.comparisons_needed;
    this.current = await this.whatIf(this.policy.threshold);
    this.report = await this.api.admin("GET", "report");
    const months = all.months === null ? "less than an hour" : `${all.months.toFixed(2)} months`;
    $("traffic").textContent =
      `From ${count(this.current.requests)} requests that this router scored, over ${months}. ` +
      `${basis(all)} ${costs(all)} Router ${this.policy.artifact}.` +
      (this.policy.decided_by === "stages" ? " The stages decide now; a threshold that you apply routes all workloads at once." : "");
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
    // Of no traffic there is no share.
    const meaning = chosen.requests ? `: ${percent(chosen.teacher_share)} to the teacher` : "";
    $("threshold-value").textContent = `${chosen.threshold.toFixed(2)}${meaning}`;
    $("threshold").setAttribute("aria-valuetext", `${chosen.threshold.toFixed(2)}: teacher ${percent(chosen.teacher_share)}`);
    const [first, ...others] = ROWS;
    const shown = [first, ["threshold", (p) => p.threshold.toFixed(2)], ...others, ["break-even at this threshold", (p) => this.breakEven(p)]];
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
    if (chosen.expected_retention === null) {
      $("quality-chart").textContent = `The quality at a threshold is ${NOT_MEASURED}: ${more(this.needed)} with this student.`;
    } else {
      quality($("quality-chart"), this.points, this.current, chosen);
    }
  }

  // The break-even date if savings change by the difference between `point` and the current threshold.
  breakEven(point) {
    const { projection, until } = this.report;
    if (!projection || point.threshold === this.current.threshold) return breakEven(this.report);
    if (point.monthly_savings_usd === null || this.current.monthly_savings_usd === null) return "–";
    const before = (Number(projection.savings_usd_per_day) * HOURS_A_MONTH) / 24;
    const monthly = before + point.monthly_savings_usd - this.current.monthly_savings_usd;
    const remaining = Number(this.report.investment_usd) - Number(this.report.savings_usd);
    return after(monthly > 0 ? remaining / monthly : null, Date.parse(until));
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
      await this.changed();
      this.showStatus(message);
    } catch (error) {
      this.showStatus(error.message, true);
    }
  }
}
