// The student in force, the candidate for the next one, and the versions that were compared.

import { admin, read } from "/console/api.js";
import { whisker } from "/console/charts.js";
import { card, change, confirmed, empty, h, swap, table } from "/console/dom.js";
import { count, NOT_MEASURED, percent } from "/console/format.js";
import { ago, at, basis, interval, more, promised } from "/console/words.js";

const PHASES = ["comparing", "better", "promoted"];
const MEANINGS = {
  comparing: "its answers are compared beside the student's",
  better: "shown to be better; it waits for you",
  promoted: "it is the student",
  dropped: "it is asked no longer",
};
const EXAMPLE = "candidate:\n  base_url: http://127.0.0.1:8001/v1\n  model: my-next-student\n  share: 0.05";

export function open(root, app) {
  const [now, next, all] = ["w5", "w7", ""].map((width) => h("div", { className: width }));
  root.append(h("div.grid", {}, now, next, all));
  return {
    async refresh() {
      const [seen, candidate, { versions }] = await Promise.all([read("upstreams"), read("candidate"), read("students")]);
      swap(now, studentCard(seen.upstreams.find((one) => one.upstream === "student"), versions));
      swap(next, candidateCard(candidate, app));
      swap(all, versionsCard(versions));
    },
  };
}

function studentCard(student, versions) {
  if (!student) {
    return card("student-title", "The student", empty("There is no student", "This gateway passes everything to the teacher and records it. Add the section student to the config."));
  }
  const own = versions.filter((one) => one.in_force);
  return card("student-title", "The student",
    h("p", {}, h("span.strong", {}, student.model), " ", h("span", { className: `pill ${{ up: "good", failing: "warn", down: "bad" }[student.state] ?? ""}` }, student.state === "unknown" ? "not asked yet" : student.state)),
    h("p.quiet", {}, student.context_window === null ? "Its context window is not known." : `It takes ${count(student.context_window)} tokens of prompt and answer.`),
    own.map((one) => h("div.apart", {}, h("p", {}, `${one.workload}: ${one.retention === null ? NOT_MEASURED : `keeps ${percent(one.retention.value)} of the teacher's quality if it answers everything`}`),
      one.retention && whisker(one.retention, 0, 1), h("p.quiet", {}, `${one.retention ? `${interval(one.retention)}, ` : ""}from ${count(one.comparisons)} comparisons; version ${one.version}`))));
}

function candidateCard(found, app) {
  const title = "The next student";
  if (found.candidate === null) {
    return card("candidate-title", title, empty("There is no candidate", "A candidate answers a share of the compared requests beside the student, until one of them is shown to be better. Add it to the config:", h("pre", {}, EXAMPLE)));
  }
  const buttons = words(found).map((word) => button(word, found, app));
  const now = PHASES.indexOf(found.phase);
  return card("candidate-title", title,
    h("div.line", {}, h("span", {}, h("span.strong", {}, found.candidate), found.student && h("span.quiet", {}, ` compared with ${found.student}`)), h("div.buttons", {}, buttons)),
    found.phase === "dropped" ? h("p", {}, h("span.pill.bad", {}, "dropped")) : h("ol.steps", { "aria-label": "Phases" }, PHASES.map((name, index) =>
      h("li", { className: index < now ? "past" : "", "aria-current": index === now ? "step" : undefined }, name))),
    h("p", {}, found.phase === null ? "Not compared yet." : `${MEANINGS[found.phase]}${found.since ? `, since ${at(found.since)}` : ""}`),
    found.why && h("p.quiet", {}, found.why), found.waits && h("p.note.warn", {}, `Waits: ${found.waits}`),
    found.difference ? difference("all workloads", found.comparisons, found.difference) : h("p.quiet", {}, `The difference is ${NOT_MEASURED}.`),
    found.workloads.length > 1 && found.workloads.map((one) => difference(one.workload, one.comparisons, one.difference)),
    found.routers.map(({ workload, proposal }) => h("p.quiet", {}, `${workload}: with its own router ${promised(proposal)}, ${basis(proposal)}`)),
    found.config && h("div", {}, h("p", {}, "To be written into the config:"), h("pre", {}, found.config)));
}

function difference(name, comparisons, found) {
  const points = (value) => `${value >= 0 ? "+" : ""}${(100 * value).toFixed(1)}`;
  return h("div.apart", {}, h("p", {}, `${name}: ${points(found.value)} points of score (${points(found.low)} to ${points(found.high)}), from ${count(comparisons)} requests`), whisker(found, -1, 1, 0));
}

// What the operator can do: its name, the call, and what to say in the question before.
function words({ phase, candidate, student }) {
  if (phase === null || phase === "dropped") return [];
  if (phase === "promoted") return [{ name: "Roll back", call: "rollback", question: [`Make ${student} the student again, with the routers that were in force then?`], done: "Rolled back" }];
  const sure = phase === "better";
  const promote = { name: sure ? "Promote" : "Promote anyway", call: "promote", anyway: !sure, kind: sure ? "primary" : "", done: "Promoted",
    question: [sure ? `${candidate} is shown to be better than ${student}.` : `${candidate} is not shown to be better than ${student}.`, "Make it the student, with the routers of its own? You can roll it back."] };
  return [promote, { name: "Drop", call: "drop", kind: "danger", question: [`Ask ${candidate} no longer?`], done: "Dropped" }];
}

function button(word, found, app) {
  const made = h("button", { type: "button", className: word.kind ?? "", "data-key": word.call }, word.name);
  made.onclick = async () => {
    if (!(await confirmed(`${word.name}: ${found.candidate}`, word.question, word.name))) return;
    const call = () => admin("POST", `candidate/${word.call}`, { query: { anyway: word.anyway || undefined } });
    await change(made, call, () => `${word.done}: ${found.candidate}. All gateways follow within seconds.`);
    await app.refresh();
  };
  return made;
}

function versionsCard(versions) {
  if (!versions.length) {
    return card("versions-title", "Versions", empty("No version was compared yet", "Answers of the student are compared with the teacher's at random: road.sample says how often."));
  }
  const rows = versions.map((one) => [
    one.version || "not known", one.workload,
    one.in_force ? h("span.pill.good", {}, "in force") : h("span.pill", {}, one.candidate ? "as the candidate" : "before"),
    count(one.comparisons),
    one.retention === null ? `${NOT_MEASURED}: ${more(Math.max(1, 30 - one.comparisons))}` : [`${percent(one.retention.value)} `, h("span.quiet", {}, interval(one.retention)), whisker(one.retention, 0, 1)],
    ago(one.last),
  ]);
  return card("versions-title", "Versions", table("Versions of the student", ["version", "workload", "what it is", "comparisons", "quality, of the teacher's", "last compared"], rows, { numbers: [3], names: [0, 1] }));
}
