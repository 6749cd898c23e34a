// Figures of the API in words.

import { count, moment, NOT_MEASURED, percent, usd } from "/console/format.js";

export const STAGES = {
  observe: "the teacher answers, and the student is measured beside it",
  propose: "the teacher answers; a proposal waits for you",
  route: "what is in force routes",
  watch: "what is in force routes, and comparisons check it",
};
// Of `routing.start: share`: from so many scores on a threshold is derived from them.
export const SHARE_BEGINS = "until 200 requests of a workload were scored, its threshold is that of reference prompts, and its share may differ";
export const more = (number) => `${count(number)} more comparison${number === 1 ? "" : "s"}`;
export const at = (microseconds) => `${moment(microseconds / 1000)} UTC`;
// A moment of this year, short enough for a list.
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
export function short(microseconds) {
  const text = moment(microseconds / 1000);
  return `${Number(text.slice(8, 10))} ${MONTHS[Number(text.slice(5, 7)) - 1]} ${text.slice(11)}`;
}
export const share = (value) => percent(value, 0);
export const fixed = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toFixed(digits));

// An estimate with its interval, such as "95%: 93.0% to 97.0%".
export const interval = ({ low, high }) => `95%: ${percent(low)} to ${percent(high)}`;
export const usdInterval = (report, name) => `95%: ${usd(report[`${name}_lower`])} to ${usd(report[`${name}_upper`])}`;

// What a promise does, in a sentence without a full stop.
export const promised = (one) =>
  `${share(one.answered)} of the requests are answered by the student; at least ${percent(one.low)} of the teacher's quality is kept`;

// What a promise rests on.
export const basis = (one) =>
  `from ${count(one.comparisons)} comparisons, for a floor of ${percent(one.floor)}; router ${one.artifact}, ${hardest(one)}`;

// What the threshold means, and its value, which is on a scale of the router's own.
function hardest(one) {
  const value = `threshold ${one.threshold.toFixed(4)}`;
  if (one.share === null) return value;
  if (one.share >= 1) return `none of the measured traffic is too hard for the student (${value})`;
  return `the hardest ${share(1 - one.share)} of the measured traffic to the teacher (${value})`;
}

export const saves = (row) =>
  row.proposal_saves_usd_per_month === null
    ? `what it saves is ${NOT_MEASURED}`
    : `it saves ${usd(row.proposal_saves_usd_per_month)} a month of the teacher's bill`;

// How long ago, in one unit.
export function ago(microseconds) {
  const seconds = Math.max(0, Date.now() / 1000 - microseconds / 1e6);
  for (const [size, name] of [[86400, "day"], [3600, "hour"], [60, "minute"]]) {
    const number = Math.floor(seconds / size);
    if (number) return `${number} ${name}${number === 1 ? "" : "s"} ago`;
  }
  return "just now";
}

// An explanation of each reason, given the row of the decision.
const hardness = (row) => row.difficulty?.text ?? "";
export const REASONS = {
  easy: (row) => `${hardness(row)} (score ${fixed(row.score)} below ${fixed(row.threshold, 2)})`,
  difficult: (row) => `${hardness(row)} (score ${fixed(row.score)} at or above ${fixed(row.threshold, 2)})`,
  observe: () => "the teacher answers while the student is measured",
  pinned: () => "the client named the model",
  novel: (row) => `novelty ${percent(row.novelty)}: far from the student's training prompts`,
  sticky: () => "the conversation stays with its upstream",
  fallback: () => "the first upstream failed",
  escalated: () => "the start of the student's answer had a low log-probability",
  unavailable: () => "the other upstream is down or at its concurrency limit",
  modality: () => "the student does not support this input type",
  tools: () => "the student does not support tools",
  context: () => "too long for the student's context window",
  router_error: () => "the router failed",
};
export const why = (row) => REASONS[row.reason]?.(row).trim() ?? "";

export const WHO = { gateway: "gateway", console: "console", api: "API", "command line": "command line" };
