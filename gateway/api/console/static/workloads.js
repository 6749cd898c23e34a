// The workloads: the stage of each, what was measured, and the operator's word on it.

import { admin } from "/console/api.js";
import { whisker } from "/console/charts.js";
import { change, confirmed, h } from "/console/dom.js";
import { count, NOT_MEASURED, percent } from "/console/format.js";
import { at, basis, interval, more, promised, saves, share, SHARE_BEGINS, STAGES } from "/console/words.js";

const ORDER = Object.keys(STAGES);

// The cards of all workloads; rows of /admin/road.
export function workloads(rows, app) {
  const routed = rows.some((row) => row.routed_by_operator);
  const note = routed && h("p.note", { id: "operator-routes" },
    "The operator says what routes: the artifact or threshold in the config, or a policy that was applied here. While it " +
    "does, no stage routes, and there is nothing to put in force.");
  // What waits for the operator comes first.
  const sorted = [...rows].sort((a, b) => (a.proposal === null) - (b.proposal === null));
  return h("section", { "aria-labelledby": "workloads-title" },
    h("h2", { id: "workloads-title", tabindex: "-1" }, rows.length === 1 ? "Workload" : "Workloads"), note,
    h("div.grid", { id: "workloads" }, sorted.map((row) => one(row, app, rows.length === 1 ? "" : ".w6"))));
}

function one(row, app, width) {
  const id = `workload-${row.workload}`;
  return h(`article.card${width}`, { "aria-labelledby": id },
    h("header", {}, h("h3", { id }, row.workload), h("div.buttons", {}, words(row).map((word) => button(row, word, app)))),
    row.routed_by_operator ? h("p", {}, h("span.pill", {}, "routed by the operator")) : steps(row),
    h("dl.facts", {}, [["Stage", stage(row)], ["The student's quality", measured(row)], ["In force", inForce(row)], ["Proposal", proposal(row)]].map(
      ([term, [first, ...lines]]) => h("div", {}, h("dt", {}, term), h("dd", {}, first), lines.filter(Boolean).map((line) => h("dd.quiet", {}, line))))));
}

function steps(row) {
  const now = ORDER.indexOf(row.stage);
  return h("ol.steps", { "aria-label": "Stages" }, ORDER.map((name, index) =>
    h("li", { "aria-current": index === now ? "step" : undefined, className: index < now ? "past" : "" }, name)));
}

// Each of these is a list of lines; the first one is the main one.
function stage(row) {
  const shared = row.starts_with_share !== null && row.in_force === null;
  const lines = [row.routed_by_operator ? "routed by the operator" : shared ? "both answer, and the student is measured" : STAGES[row.stage]];
  if (row.since && !row.routed_by_operator) lines.push(`since ${at(row.since)}`);
  if (row.why && !row.routed_by_operator) lines.push(row.why);
  if (row.held) lines.push(`waits: ${row.held}`);
  return lines;
}

function measured(row) {
  const missing = Math.max(0, row.next_look_at - row.comparisons);
  const looks = `${count(row.comparisons)} comparisons so far; the next look is at ${count(row.next_look_at)}`;
  if (row.retention === null) return [`${NOT_MEASURED}: ${more(missing)}`, looks];
  const corrected = row.corrected && `corrected by ${count(row.corrected.verdicts)} verdicts of people: ${percent(row.corrected.value)} (${interval(row.corrected)})`;
  return [`${percent(row.retention.value)} of the teacher's if it answered everything`, whisker(row.retention, 0, 1), interval(row.retention), corrected, looks];
}

function inForce(row) {
  if (row.routed_by_operator) return ["the operator's artifact or threshold"];
  if (row.in_force === null && row.starts_with_share !== null) {
    return [`nothing certified: the hardest ${share(row.starts_with_share)} of the traffic go to the teacher`, "routing.start: share in the config; " + SHARE_BEGINS];
  }
  if (row.in_force === null) return ["nothing: the teacher answers everything"];
  const since = row.margin === null
    ? `since then: ${NOT_MEASURED}; at least 30 comparisons are needed`
    : `since then: ${percent(Math.abs(row.margin))} ${row.margin < 0 ? "below" : "above"} the floor`;
  return [promised(row.in_force), since, basis(row.in_force)];
}

function proposal(row) {
  const lines = row.proposal === null ? ["none"] : [promised(row.proposal), saves(row), basis(row.proposal)];
  if (row.missing !== null && row.would_answer !== null) lines.push(`about ${more(row.missing)} would allow about ${share(row.would_answer)}`);
  return lines;
}

// What the operator can do with a workload: its name, the call, what to say in the question before, and what after.
function words(row) {
  if (row.routed_by_operator) return [];
  const found = [];
  const now = row.in_force === null ? "Now the teacher answers everything." : `Now ${promised(row.in_force)}.`;
  if (row.proposal !== null) {
    found.push({ name: "Put in force", call: "apply", done: "The proposal is in force", kind: "primary",
      question: [now, `Then ${promised(row.proposal)}; ${saves(row)}. You can roll it back.`, `This is known ${basis(row.proposal)}.`] });
  }
  const before = row.previous === null ? "Then the teacher answers everything." : `Then ${promised(row.previous)}.`;
  if (row.in_force !== null) found.push({ name: "Roll back", call: "rollback", done: "Rolled back", kind: "", question: [now, before] });
  return found;
}

function button(row, word, app) {
  const key = `${word.call}-${row.workload}`;
  const found = h("button", { type: "button", className: word.kind, "aria-label": `${word.name}: ${row.workload}`, "data-key": key }, word.name);
  found.onclick = async () => {
    if (!(await confirmed(`${word.name}: ${row.workload}`, word.question, word.name))) return;
    const call = () => admin("POST", `road/${encodeURIComponent(row.workload)}/${word.call}`);
    await change(found, call, () => `${word.done}: ${row.workload}. All gateways follow within seconds.`);
    await app.refresh();
    // The button that had the focus may be gone.
    if (!document.querySelector(`[data-key="${CSS.escape(key)}"]`)) document.getElementById("workloads-title")?.focus();
  };
  return found;
}
