// The slider: what a share of the traffic for the teacher would have meant, and applying it.

import { admin, read } from "/console/api.js";
import { quality } from "/console/charts.js";
import { card, change, empty, h, select, swap } from "/console/dom.js";
import { after, breakEven, count, HOURS_A_MONTH, NOT_MEASURED, percent, usd } from "/console/format.js";
import { interval, more, SHARE_BEGINS } from "/console/words.js";

const SHARES = 51;

export function open(root, app) {
  const page = new Tune(root, app);
  // The curve costs the gateway some work, so it is loaded anew only on request; the policy in force always.
  return { refresh: () => page.load() };
}

class Tune {
  constructor(root, app) {
    this.app = app;
    this.loads = 0; // numbers the loads, so that only the last one is shown
    this.share = null; // the share that the operator chose; null: none yet
    this.data = null;
    this.places = Object.fromEntries(["notes", "chart", "slider", "figures"].map((name) => [name, h("div", { id: `tune-${name}` })]));
    this.slider = h("input", { type: "range", id: "share", min: "0", max: "100", step: "0.1", disabled: true, "data-key": "share", oninput: () => this.moved() });
    this.output = h("output", { id: "share-value", for: "share" }, "–");
    this.apply = h("button.primary", { type: "button", id: "apply", disabled: true, "data-key": "apply", onclick: () => this.put() }, "Apply");
    this.remove = h("button", { type: "button", id: "remove", hidden: true, "data-key": "remove", onclick: () => this.drop() }, "Remove the policy");
    this.places.slider.append(h("div.slider", {},
      h("div.line", {}, h("label", { for: "share" }, "Share of requests for the teacher"), this.output), this.slider,
      h("div.ends.quiet", {}, h("span", {}, "all to the student"), h("span", {}, "all to the teacher")),
      h("div.buttons", {}, this.apply, this.remove, h("a", { href: app.to("changes") }, "History and undo"))));
    root.append(h("div.stack", {}, this.places.notes, h("div.grid", {},
      h("section.card.w8", { "aria-labelledby": "curve-title" }, h("h2", { id: "curve-title" }, "Quality by teacher share, from your own comparisons"), this.places.chart, this.places.slider),
      h("div.w4", {}, this.places.figures))));
  }

  // What is shown stays usable while this loads; then the chosen share is looked up in what came.
  async load() {
    const number = ++this.loads;
    const workload = this.app.params.get("workload") ?? "";
    const [policy, seen, report, road] = await Promise.all([
      read("policy"), read("whatif", { of: "config", shares: SHARES, workload, since: this.app.since }), read("report"), read("road", { limit: 0 }),
    ]);
    const threshold = policy.artifact === seen.artifact ? policy.threshold : null;
    const current = threshold === null ? null : (await read("whatif", { of: "config", threshold, workload, since: this.app.since })).points[0];
    if (number !== this.loads) return;
    const known = current === null || !seen.points.length || seen.points.some((one) => one.threshold === current.threshold) ? [] : [current];
    const points = [...seen.points, ...known].sort((a, b) => a.teacher_share - b.teacher_share);
    this.data = { policy, seen, report, road: road.workloads, current, points };
    this.show();
  }

  // The point of the curve that is nearest to the chosen share, without a choice to the one in force.
  nearest(share) {
    return this.data.points.reduce((best, one) => (Math.abs(one.teacher_share - share) < Math.abs(best.teacher_share - share) ? one : best));
  }

  moved() {
    const value = Number(this.slider.value) / 100;
    const { points } = this.data;
    let found = this.nearest(value);
    // A key moves the slider by less than the distance of two points: go to the next one in its direction.
    if (found === this.chosen && Math.abs(value - found.teacher_share) > 1e-9) {
      const next = points[points.indexOf(found) + Math.sign(value - found.teacher_share)];
      found = next ?? found;
    }
    this.share = found.teacher_share;
    this.choose(found);
  }

  show() {
    const { points, seen } = this.data;
    this.slider.disabled = points.length === 0;
    swap(this.places.notes, this.notes());
    this.remove.hidden = this.data.policy.source !== "admin";
    if (!points.length) {
      this.chosen = null;
      this.apply.disabled = true;
      swap(this.places.chart, empty("No request was scored by this router yet",
        `Shares are those of requests that router ${seen.artifact} scored. Send traffic, or choose a longer time range.`));
      swap(this.places.figures, this.table());
      return;
    }
    const { own, point } = this.standing();
    this.choose(this.nearest(this.share ?? own?.share ?? point?.teacher_share ?? 1));
  }

  // From here on this point is what the page shows, and what Apply applies.
  choose(point) {
    this.chosen = point;
    this.slider.value = String(100 * point.teacher_share);
    const said = `${percent(point.teacher_share)} to the teacher`;
    this.output.textContent = said;
    this.slider.setAttribute("aria-valuetext", said);
    const same = this.data.current !== null && this.data.policy.decided_by !== "stages" && point.threshold === this.data.policy.threshold;
    this.apply.disabled = same;
    this.apply.textContent = same ? "In force" : `Apply: ${said}`;
    swap(this.places.chart, this.chart());
    swap(this.places.figures, this.table());
  }

  // What is in force: a `point` of the curve with its `threshold` in words, or the promise of a workload's `own` router.
  // Neither where workloads differ. Where stages decide and nothing is certified, that is the teacher for everything.
  standing() {
    const { road, policy, current, points } = this.data;
    if (policy.decided_by !== "stages") return { point: current, threshold: current?.threshold.toFixed(4) };
    const name = this.app.params.get("workload") ?? "";
    const rows = road.filter((one) => !name || one.workload === name);
    if (rows.length && rows.every((one) => one.in_force === null)) {
      const share = rows[0].starts_with_share ?? 1;
      const threshold = share === 1 ? "none" : "by workload";
      return { share, point: points.length ? this.nearest(share) : null, threshold };
    }
    if (rows.length !== 1) return { threshold: "by workload", differ: true };
    const unit = rows[0].in_force;
    const own = { share: 1 - unit.answered, quality: unit.retention, low: unit.low, floor: unit.floor };
    return { own, threshold: `router ${unit.artifact}` };
  }

  chart() {
    const { points, seen } = this.data;
    if (seen.comparisons_needed > 0) {
      return empty(`Quality is ${NOT_MEASURED}: ${more(seen.comparisons_needed)}`,
        "The share and the cost are those of your traffic already. Answers are compared at random: road.sample says how often.");
    }
    const { own, point } = this.standing();
    const marks = [];
    const legend = [["student", "line", "this router on your comparisons"], ["band", "box", "95% interval"]];
    if (own) {
      marks.push({ share: own.share, quality: own.quality, low: own.low, color: "good" });
      legend.push(["good", "dot", `in force: your workload's own router, at least ${percent(own.low)}`]);
    } else if (point && point.expected_retention !== null) {
      marks.push({ share: point.teacher_share, quality: point.expected_retention, color: "good" });
      legend.push(["good", "dot", "in force"]);
    }
    legend.push(["accent", "dash", "chosen"]);
    if (own) legend.push(["muted", "dash", "the promised floor"]);
    const kept = this.chosen.expected_retention;
    const label = `Quality by teacher share. Chosen: ${percent(this.chosen.teacher_share)} to the teacher keep ${percent(kept)} of its quality`;
    return quality(label, legend, points, marks, this.chosen, own?.floor ?? null);
  }

  table() {
    const { report, seen } = this.data;
    const { own, point, share, threshold } = this.standing();
    const chosen = this.chosen;
    const kept = (point) => {
      if (!point || point.expected_retention === null) return [NOT_MEASURED];
      const [low, high] = point.expected_retention_interval;
      return [percent(point.expected_retention), interval({ low, high })];
    };
    const now = own
      ? [[percent(own.share)], [percent(own.quality), `at least ${percent(own.low)}`], ["–"], ["–"], [dateOf(report)], [threshold]]
      : [[percent(point?.teacher_share ?? share)], point ? kept(point) : ["–"], [usd(point?.monthly_cost_usd)], [usd(point?.monthly_savings_usd)], [dateOf(report)], [threshold ?? "–"]];
    const then = [[percent(chosen?.teacher_share)], kept(chosen), [usd(chosen?.monthly_cost_usd)], [usd(chosen?.monthly_savings_usd)], [this.date(chosen)], [chosen?.threshold.toFixed(4) ?? "–"]];
    const names = ["teacher share", "quality kept", "monthly cost", "monthly savings", "break-even", "threshold"];
    const cell = ([first, note]) => h("td", {}, first, note && h("div.quiet", {}, note));
    const rows = names.map((name, index) => h("tr", {}, h("th", { scope: "row" }, name), cell(now[index]), cell(then[index])));
    return card("figures-title", "In force and chosen",
      h("table", { id: "figures" }, h("thead", {}, h("tr", {}, ["", "in force", "chosen"].map((name) => (name ? h("th", { scope: "col" }, name) : h("td"))))), h("tbody", {}, rows)),
      h("p.quiet", { id: "basis" }, basis(seen, chosen)));
  }

  // The break-even date if savings change by the difference between a point and what is in force.
  date(point) {
    const { projection, until } = this.data.report;
    const standing = this.standing();
    // A router of a workload's own costs about what this one does at the same share.
    const now = standing.own ? this.nearest(standing.own.share) : standing.point;
    if (!projection || !point || point.threshold === now?.threshold) return dateOf(this.data.report);
    if (point.monthly_savings_usd === null || !now || now.monthly_savings_usd === null) return "–";
    const before = (Number(projection.savings_usd_per_day) * HOURS_A_MONTH) / 24;
    const monthly = before + point.monthly_savings_usd - now.monthly_savings_usd;
    const { investment_usd: investment, savings_usd: savings } = this.data.report;
    const remaining = Number(investment) - Number(savings);
    return after(monthly > 0 ? remaining / monthly : null, Date.parse(until));
  }

  notes() {
    const { policy, road, seen } = this.data;
    const names = ["", ...road.map((one) => one.workload)];
    const found = [];
    if (names.length > 2) {
      found.push(h("div.filters", {}, select("Traffic of", names.map((one) => [one, one || "all workloads"]), this.app.params.get("workload") ?? "",
        (workload) => this.app.go({ workload }))));
    }
    if (this.standing().differ) found.push(h("p.note", {}, "What is in force differs by workload: choose one."));
    if (policy.decided_by === "stages") {
      const shared = road.some((one) => one.in_force === null && one.starts_with_share !== null) ? ` By routing.start: share, ${SHARE_BEGINS}.` : "";
      found.push(h("p.note", {}, `The stages decide now.${shared} A share that you apply takes over from them: it routes all workloads at once, by router ${seen.artifact}. Remove the policy to let the stages decide again.`));
    } else if (policy.decided_by === "admin") {
      found.push(h("p.note", {}, "A policy that an operator applied routes all workloads."));
    }
    return found;
  }

  async put() {
    const { threshold, teacher_share: share } = this.chosen;
    const body = { threshold, artifact: this.data.seen.artifact };
    const done = () => `Applied: ${percent(share)} to the teacher (threshold ${threshold.toFixed(4)}), from the next request on.`;
    if (await change(this.apply, () => admin("PUT", "policy", { body }), done)) await this.app.refresh();
    else if (this.data) this.choose(this.chosen);
  }

  async drop() {
    if (await change(this.remove, () => admin("DELETE", "policy"), () => "Removed: the config or the stages decide again.")) {
      this.share = null;
      await this.app.refresh();
    }
  }
}

// The date, or in two words that there is none.
const dateOf = (report) => (breakEven(report).startsWith("no date") ? "no date yet" : breakEven(report));

function basis(seen, chosen) {
  const months = seen.months === null ? "less than an hour" : `${seen.months.toFixed(2)} months`;
  const number = count(chosen?.requests ?? 0);
  const of = seen.of === "comparisons" ? `Shares are those of ${number} compared requests, since this router scored no others.` : `From ${number} requests that this router scored, over ${months}.`;
  const kept = seen.comparisons_needed > 0 ? `Quality is ${NOT_MEASURED}: ${more(seen.comparisons_needed)}.` : `Quality is expected from ${count(seen.comparisons)} compared answers of this student.`;
  const costs = seen.compared_pairs_needed > 0
    ? `Costs are unknown: ${more(seen.compared_pairs_needed)} with the teacher's answers are needed.`
    : `The teacher's cost for the student's requests is estimated from ${count(seen.compared_pairs)} compared answers.`;
  return `${of} ${kept} ${costs} Router ${seen.artifact}.`;
}
