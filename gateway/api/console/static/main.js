// The page: sign in, load the data, refresh it.

import { Api } from "/console/api.js";
import { money } from "/console/charts.js";
import { compare } from "/console/compare.js";
import { breakEven, count, moment, NONE, NOT_MEASURED, percent, usd } from "/console/format.js";
import { Road } from "/console/road.js";
import { Tuning } from "/console/tune.js";

const $ = (id) => document.getElementById(id);

function showStatus(text, error = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", error);
}

async function loadMoney(api) {
  const report = await api.admin("GET", "report");
  const measured = report.savings_usd !== null;
  const facts = [
    measured
      ? ["savings to date, estimated", usd(report.savings_usd), interval(report, "savings_usd"), Number(report.savings_usd)]
      : ["at most, not measured yet", usd(report.savings_upper_bound_usd)],
    ["investment", usd(report.investment_usd)],
    ["paid back", !measured && Number(report.investment_usd) ? NOT_MEASURED : percent(report.payback_ratio)],
    ["break-even", breakEven(report), report.projection && `90%: ${report.projection.early.slice(0, 10)} to ${report.projection.late.slice(0, 10)}`],
    measured
      ? ["baseline, estimated", usd(report.baseline_usd), interval(report, "baseline_usd")]
      : ["baseline, at most", usd(report.baseline_upper_bound_usd)],
    ["teacher spend", usd(report.teacher_spend_usd)],
    ["hosting", usd(report.hosting_usd), hostingBasis(report.hosting_observed)],
    ["student price per million tokens", usd(report.student_usd_per_million_tokens)],
    quality("quality kept by routed traffic", report.quality_retention),
  ];
  if (report.unrouted_quality_retention !== null) {
    facts.push(quality("quality the student would keep of what the teacher answers", report.unrouted_quality_retention));
  }
  const further = Number(report.models_spend_usd);
  if (further > 0) facts.push(["further models", usd(report.models_spend_usd), "in none of the other figures"]);
  const unreported = Number(report.upstreams.teacher.estimated.cost_usd);
  if (unreported > 0) facts.push(["not reported by the teacher, estimated", usd(unreported), "in none of the other figures"]);
  $("money").replaceChildren(...facts.map(fact));
  $("money-basis").textContent = basis(report);
  $("shares").replaceChildren(...["workload", "key"].flatMap((name) => shares(name, report[`by_${name}`])));
  const drawn = measured && report.curve.length > 1;
  $("money-figure").hidden = !drawn;
  if (drawn) money($("money-chart"), report.curve, Number(report.investment_usd));
}

// A share of the teacher's quality with its interval, as comparisons of this student say.
function quality(name, kept) {
  if (kept === null) return [name, NOT_MEASURED];
  return [name, percent(kept.estimate), `95%: ${percent(kept.lower)} to ${percent(kept.upper)}, from ${count(kept.pairs)} comparisons`];
}

// A term with its value, a note below it, and the colour of a gain or a loss.
function fact([name, value, note, sign]) {
  const [pair, term, text] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
  term.textContent = name;
  text.textContent = value;
  if (sign !== undefined) text.className = sign < 0 ? "loss" : "gain";
  pair.append(term, text);
  if (note) {
    const more = document.createElement("dd");
    more.className = "note";
    more.textContent = note;
    pair.append(more);
  }
  return pair;
}

// A table of savings by workload or by client key; none where there is only one.
function shares(name, parts) {
  if (parts.filter((part) => part[name] !== "(shadow)").length < 2) return [];
  const table = document.createElement("table");
  table.createCaption().textContent = `Savings by ${name}`;
  const head = table.createTHead().insertRow();
  for (const text of [name, "requests", "teacher spend", "hosting", "savings", "95% interval"]) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = text;
    head.append(cell);
  }
  const body = table.createTBody();
  for (const part of parts) {
    const row = body.insertRow();
    const measured = part.savings_usd !== null;
    const savings = measured
      ? [usd(part.savings_usd), `${usd(part.savings_usd_lower)} to ${usd(part.savings_usd_upper)}`]
      : [NOT_MEASURED, NONE];
    const texts = [part[name], count(part.requests), usd(part.teacher_spend_usd), usd(part.hosting_usd), ...savings];
    for (const text of texts) row.insertCell().textContent = text;
  }
  const scroll = document.createElement("div");
  scroll.className = "scroll";
  scroll.tabIndex = 0;
  scroll.role = "region";
  scroll.ariaLabel = `Savings by ${name}`;
  scroll.append(table);
  return [scroll];
}

// What the cost of hosting rests on.
function hostingBasis(observed) {
  if (observed.share === null) return "hours of the schedule; replicas are not observed";
  const idle = observed.idle_share === null ? "" : `, ${percent(observed.idle_share)} idle`;
  return `${percent(observed.share)} of the hours observed: ${fixed(observed.mean_replicas, 2)} replicas on average${idle}`;
}

const interval = (report, name) => `95%: ${usd(report[`${name}_lower`])} to ${usd(report[`${name}_upper`])}`;

// What the figures rest on, or what it takes to have them.
function basis(report) {
  if (report.savings_usd !== null) {
    return `The baseline is estimated from ${count(report.compared_pairs)} compared answers; spend and hosting are measured.`;
  }
  return (
    `At most ${usd(report.savings_upper_bound_usd)}: answer length not measured yet, ` +
    `${count(report.compared_pairs_needed)} more comparisons needed (road.sample).`
  );
}

// An explanation of each reason, given the row of the decision.
const REASONS = {
  pinned: () => "the client named the model",
  easy: (row) => `${hardness(row)} (score ${fixed(row.score)} below ${fixed(row.threshold, 2)})`,
  difficult: (row) => `${hardness(row)} (score ${fixed(row.score)} at or above ${fixed(row.threshold, 2)})`,
  observe: () => "the teacher answers while the student is measured",
  novel: (row) => `novelty ${percent(row.novelty)}: far from the student's training prompts`,
  fallback: () => "the first upstream failed",
  escalated: () => "the start of the student's answer had a low log-probability",
  sticky: () => "the conversation stays with its upstream",
  unavailable: () => "the other upstream is down or at its concurrency limit",
  modality: () => "the student does not support this input type",
  tools: () => "the student does not support tools",
  context: () => "too long for the student's context window",
  router_error: () => "the router failed",
};

const hardness = (row) => row.difficulty?.text ?? "";
const fixed = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toFixed(digits));

async function loadDecisions(api) {
  const { decisions } = await api.admin("GET", "decisions?limit=25");
  $("decisions").tBodies[0].replaceChildren(
    ...decisions.map((row) => {
      const line = document.createElement("tr");
      const tokens = `${count(row.prompt_tokens)} + ${count(row.output_tokens)}`;
      const why = `${row.reason}: ${REASONS[row.reason]?.(row) ?? ""}`;
      const cells = [moment(row.at / 1000), row.route, why, tokens, usd(row.cost_usd), fixed(row.seconds, 2), row.outcome];
      for (const cell of cells) line.insertCell().textContent = cell;
      return line;
    }),
  );
}

$("sign-in").onsubmit = async (event) => {
  event.preventDefault();
  const api = new Api($("admin-key").value);
  // A threshold that is applied takes over from the stages, and a stage that changes decides anew.
  const road = new Road(api, showStatus, () => tuning.load());
  const tuning = new Tuning(api, showStatus, () => road.load());
  const refresh = () => Promise.all([road.load(), tuning.load(), loadMoney(api), loadDecisions(api)]);
  showStatus("Loading …");
  try {
    await api.admin("GET", "policy");
    $("content").hidden = false;
    await refresh();
    showStatus("");
  } catch (error) {
    $("content").hidden = true;
    showStatus(error.message, true);
    return;
  }
  $("admin-key").value = "";
  $("refresh").onclick = () => Promise.all([loadMoney(api), loadDecisions(api)]).catch((error) => showStatus(error.message, true));
  compare(api, showStatus);
  matchMedia("(prefers-color-scheme: dark)").onchange = () => refresh().catch((error) => showStatus(error.message, true));
};
