// The page: sign in, load the data, refresh it.

import { Api } from "/console/api.js";
import { money } from "/console/charts.js";
import { compare } from "/console/compare.js";
import { count, moment, percent, usd } from "/console/format.js";
import { Tuning } from "/console/tune.js";

const $ = (id) => document.getElementById(id);

function showStatus(text, error = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", error);
}

async function loadMoney(api) {
  const report = await api.admin("GET", "report");
  const facts = [
    ["savings to date", usd(report.savings_usd), Number(report.savings_usd)],
    ["investment", usd(report.investment_usd)],
    ["paid back", percent(report.payback_ratio)],
    ["break-even", report.payback_at ? report.payback_at.slice(0, 10) : Number(report.investment_usd) ? "never at this rate" : "nothing invested"],
    ["baseline", usd(report.baseline_usd)],
    ["teacher spend", usd(report.teacher_spend_usd)],
    ["hosting", usd(report.hosting_usd)],
    ["student price per million tokens", usd(report.student_usd_per_million_tokens)],
  ];
  $("money").replaceChildren(
    ...facts.map(([name, value, sign]) => {
      const [pair, term, text] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
      term.textContent = name;
      text.textContent = value;
      if (sign !== undefined) text.className = sign < 0 ? "loss" : "gain";
      pair.append(term, text);
      return pair;
    }),
  );
  if (report.curve?.length) money($("money-chart"), report.curve, Number(report.investment_usd));
}

// An explanation of each reason, given the row of the decision.
const REASONS = {
  pinned: () => "the client named the model",
  easy: (row) => `score ${fixed(row.score)} below ${fixed(row.threshold, 2)}`,
  difficult: (row) => `score ${fixed(row.score)} at or above ${fixed(row.threshold, 2)}`,
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
  const tuning = new Tuning(api, showStatus);
  const refresh = () => Promise.all([tuning.load(), loadMoney(api), loadDecisions(api)]);
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
