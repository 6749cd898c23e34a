// The overview: money, quality, upstreams, the stage of each workload, and what happened.

import { read } from "/console/api.js";
import { requests, savings } from "/console/charts.js";
import { card, empty, h, swap, table } from "/console/dom.js";
import { breakEven, count, NOT_MEASURED, percent, usd } from "/console/format.js";
import { ago, interval, more, usdInterval } from "/console/words.js";
import { workloads } from "/console/workloads.js";

export function open(root, app) {
  const places = ["headline", "curve", "upstreams", "stages", "period", "events"].map((name) => [name, h("div", { id: `of-${name}` })]);
  const at = Object.fromEntries(places);
  const [curve, upstreams, period, events] = ["curve", "upstreams", "period", "events"].map((name) => at[name]);
  curve.className = "w8";
  upstreams.className = "w4";
  period.className = "w8";
  events.className = "w4";
  root.append(h("div.stack", {}, at.headline, h("div.grid", {}, curve, upstreams), at.stages, h("div.grid", {}, period, events)));
  return {
    async refresh() {
      const since = app.since;
      const [whole, part, road, seen, series] = await Promise.all([
        read("report"), read("report", { since }), read("road", { limit: 6 }), read("upstreams"), read("series", { since }),
      ]);
      swap(at.headline, headline(whole, part, app));
      swap(curve, curveCard(whole));
      swap(upstreams, upstreamsCard(seen.upstreams));
      swap(at.stages, workloads(road.workloads, app));
      swap(period, periodCard(part, series, app));
      swap(events, eventsCard(road.events, app));
    },
  };
}

const figure = (size, name, value, ...notes) =>
  h(`div.card.figure.${size}`, {}, h("dl", {}, h("dt", {}, name), h("dd", {}, value), notes.filter(Boolean).map((one) => h("dd.quiet", {}, one))));
const big = (text, kind = "") => h("span", { className: `big ${kind}` }, text);

function headline(whole, part, app) {
  const measured = whole.savings_usd !== null;
  const money = measured
    ? figure("w3.half", "Savings to date, estimated", big(usd(whole.savings_usd), Number(whole.savings_usd) < 0 ? "loss" : "gain"), usdInterval(whole, "savings_usd"))
    : figure("w3.half", "Savings to date", big(NOT_MEASURED, "text"), `at most ${usd(whole.savings_upper_bound_usd)}; ${more(whole.compared_pairs_needed)} needed`);
  return h("div.grid.even", { id: "headline" }, money, kept(whole), payback(whole, measured), answered(part, app));
}

function kept(report) {
  const routed = report.quality_retention;
  const alone = report.unrouted_quality_retention;
  const other = alone && `the student alone would keep ${percent(alone.estimate)} of what the teacher answers now`;
  if (routed !== null) {
    return figure("w3.half", "Quality kept by routed traffic", big(percent(routed.estimate)),
      `95%: ${percent(routed.lower)} to ${percent(routed.upper)}, from ${count(routed.pairs)} comparisons`);
  }
  return figure("w3.half", "Quality kept", big(NOT_MEASURED, "text"), other || "no answers were compared yet (road.sample)");
}

function payback(report, measured) {
  const share = Math.min(1, Math.max(0, report.payback_ratio ?? 0));
  const bar = h("span");
  bar.style.width = `${100 * share}%`;
  const invested = Number(report.investment_usd);
  const date = breakEven(report);
  const range = report.projection && `90%: ${report.projection.early.slice(0, 10)} to ${report.projection.late.slice(0, 10)}`;
  return figure("w3.half", "Break-even", big(date, /^\d/.test(date) ? "" : "text"), range,
    invested > 0 && measured ? h("span", {}, `${share > 0 ? percent(report.payback_ratio) : "nothing"} of ${usd(report.investment_usd)} paid back`, h("span.meter", { className: "meter" }, bar)) : null);
}

function answered(part, app) {
  const { student, teacher } = part.upstreams;
  const both = student.requests + teacher.requests;
  return figure("w3.half", "Answered by the student", big(both ? percent(student.requests / both, 0) : "–"),
    `of ${count(part.requests)} requests, ${app.rangeName}`);
}

function curveCard(report) {
  if (report.savings_usd === null) {
    return card("curve-title", "Savings and investment", empty("Savings are not measured yet",
      `At most ${usd(report.savings_upper_bound_usd)}: how long the teacher's own answers are is not known. ` +
      `${more(report.compared_pairs_needed)} are needed; road.sample says how often answers are compared.`));
  }
  if (report.curve.length < 2) return card("curve-title", "Savings and investment", empty("No curve yet", "It begins with the second hour of traffic."));
  const last = report.curve.at(-1);
  const label = `Cumulative savings, estimated: ${usd(last.savings_usd)} on ${last.until.slice(0, 10)}; investment: ${usd(report.investment_usd)}`;
  return card("curve-title", "Savings and investment", savings(label, report.curve, Number(report.investment_usd)),
    h("p.quiet", { id: "money-basis" }, `The baseline is estimated from ${count(report.compared_pairs)} compared answers; spend and hosting are measured. Investment: ${usd(report.investment_usd)}.`));
}

const STATES = { up: "up", failing: "failing", down: "down", unknown: "not asked yet" };

function upstreamsCard(upstreams) {
  return card("upstreams-title", "Upstreams", h("ul.rows", { id: "upstreams" }, upstreams.map((one) => {
    const name = one.upstream === "model" ? one.provider : one.provider ? `${one.upstream}, ${one.provider}` : one.upstream;
    const kind = { up: "good", failing: "warn", down: "bad" }[one.state] ?? "";
    const failed = one.last_failure;
    return h("li", {},
      h("div.line", {}, h("span.strong", {}, h("span", { className: `dot ${one.state}`, "aria-hidden": "true" }), name), h("span", { className: `pill ${kind}` }, STATES[one.state])),
      h("p.quiet", {}, `${one.model}; ${count(one.in_flight)} running`),
      failed && h("p.quiet", {}, `${failed.meaning}: ${failed.remedy} (${ago(failed.at)})`),
      one.retry_seconds > 0 && h("p.quiet", {}, `tried again in ${Math.ceil(one.retry_seconds)} s`));
  })));
}

function periodCard(part, series, app) {
  const name = `Traffic and money, ${app.rangeName}`;
  if (!part.requests) {
    return card("period-title", name, empty("No requests", "Point an OpenAI client at this gateway, or choose a longer time range.",
      h("pre", {}, `curl ${location.origin}/v1/chat/completions -H 'content-type: application/json' \\\n  -d '{"messages": [{"role": "user", "content": "Hello"}]}'`)));
  }
  const total = series.points.reduce((sum, one) => sum + one.student, 0);
  const label = `Requests by who answered: ${count(total)} by the student, ${count(series.points.reduce((sum, one) => sum + one.teacher, 0))} by the teacher`;
  return card("period-title", name,
    series.points.length > 1 ? requests(label, series) : null,
    h("dl.facts", { id: "money" }, facts(part).slice(0, 4).map(fact)),
    h("details", { "data-key": "further" }, h("summary", {}, "Further figures"), h("dl.facts", { id: "further" }, facts(part).slice(4).map(fact))),
    ["workload", "key"].map((by) => shares(by, part[`by_${by}`])));
}

const fact = ([term, value, note]) => h("div", {}, h("dt", {}, term), h("dd", {}, value), note && h("dd.quiet", {}, note));

function facts(report) {
  const measured = report.savings_usd !== null;
  const found = [
    measured ? ["baseline, estimated", usd(report.baseline_usd), usdInterval(report, "baseline_usd")] : ["baseline, at most", usd(report.baseline_upper_bound_usd)],
    ["teacher spend", usd(report.teacher_spend_usd), Number(report.shadow_spend_usd) > 0 && `${usd(report.shadow_spend_usd)} of it for comparisons`],
    ["hosting", usd(report.hosting_usd), hosting(report.hosting_observed)],
    measured ? ["savings, estimated", usd(report.savings_usd), usdInterval(report, "savings_usd")] : ["savings, at most", usd(report.savings_upper_bound_usd)],
    ["student, per million tokens", usd(report.student_usd_per_million_tokens)],
  ];
  if (report.student_quality_retention !== null) {
    const { estimate, lower, upper } = report.student_quality_retention;
    found.push(["quality of the student's answers", percent(estimate), interval({ low: lower, high: upper })]);
  }
  if (report.unrouted_quality_retention !== null) {
    const { estimate, lower, upper, pairs } = report.unrouted_quality_retention;
    found.push(["quality it would keep of what the teacher answers", percent(estimate), `${interval({ low: lower, high: upper })}, from ${count(pairs)} comparisons`]);
  }
  if (Number(report.pinned_spend_usd) > 0) found.push(["pinned requests", usd(report.pinned_spend_usd), "outside of the savings"]);
  if (Number(report.models_spend_usd) > 0) found.push(["further models", usd(report.models_spend_usd), "in none of the other figures"]);
  const unreported = report.upstreams.teacher.estimated.cost_usd;
  if (Number(unreported) > 0) found.push(["not reported by the teacher", usd(unreported), "estimated, in none of the other figures"]);
  return found;
}

// What the cost of hosting rests on.
function hosting(observed) {
  if (observed.share === null) return "hours of the schedule; replicas are not observed";
  const idle = observed.idle_share === null ? "" : `, ${percent(observed.idle_share)} idle`;
  return `${percent(observed.share)} of the hours observed: ${observed.mean_replicas?.toFixed(2) ?? "–"} replicas on average${idle}`;
}

// Savings by workload or by client key; nothing where there is only one.
function shares(name, parts) {
  if (parts.filter((part) => part[name] !== "(shadow)").length < 2) return null;
  const rows = parts.map((part) => [
    part[name], count(part.requests), usd(part.teacher_spend_usd), usd(part.hosting_usd),
    part.savings_usd === null ? NOT_MEASURED : usd(part.savings_usd),
    part.savings_usd === null ? "–" : `${usd(part.savings_usd_lower)} to ${usd(part.savings_usd_upper)}`,
  ]);
  const columns = [name, "requests", "teacher spend", "hosting", "savings", "95% interval"];
  return h("details", { "data-key": `by-${name}` }, h("summary", {}, `Savings by ${name}`), table(`Savings by ${name}`, columns, rows, { numbers: [1, 2, 3, 4, 5] }));
}

function eventsCard(events, app) {
  const found = events.slice(0, 5).map((one) => h("li", {},
    h("p.quiet", {}, `${ago(one.at)}, ${one.workload || "all workloads"}, ${one.stage}`), h("p", {}, one.text)));
  return card("events-title", "What happened",
    found.length ? h("ol.rows", { id: "events" }, found) : empty("Nothing yet", "Changes of stages and of the policy are listed here."),
    h("p.quiet", {}, h("a", { href: app.to("changes") }, "All changes")));
}
