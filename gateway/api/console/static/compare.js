// Comparisons of student and teacher, and sending one prompt to both.

import { admin, complete, newest, read } from "/console/api.js";
import { card, empty, h, select, sheet, swap } from "/console/dom.js";
import { count, percent, usd } from "/console/format.js";
import { at, short } from "/console/words.js";

const RESULTS = [["", "any result"], ["teacher", "teacher better"], ["student", "student better"], ["tie", "equal"]];

export function open(root, app) {
  const filters = h("div.filters", { role: "group", "aria-label": "Filters" });
  const list = h("div", { id: "comparisons" });
  root.append(h("div.stack", {}, asking(app), h("section.card", { "aria-labelledby": "compared-title" }, h("h2", { id: "compared-title" }, "Compared answers of live traffic"), filters, list)));
  let rows = [];
  let next = null;
  let pages = 1;
  let shown = null;
  let asked = null; // the filters that the list is of

  async function load() {
    const query = { workload: app.params.get("workload"), result: app.params.get("result") };
    if (JSON.stringify(query) !== asked) pages = 1;
    asked = JSON.stringify(query);
    const [found, road] = await Promise.all([newest("comparisons", "comparisons", pages, query), read("road", { limit: 0 })]);
    ({ rows, next } = found);
    const names = road.workloads.map((one) => [one.workload, one.workload]);
    swap(filters, select("result", RESULTS, app.params.get("result") ?? "", (result) => app.go({ result }), { quiet: true }),
      names.length > 1 && select("workload", [["", "any workload"], ...names], app.params.get("workload") ?? "", (workload) => app.go({ workload }), { quiet: true }));
    draw();
  }

  function draw() {
    if (!rows.length) {
      const filtered = app.params.get("workload") || app.params.get("result");
      swap(list, empty(filtered ? "No comparison matches" : "Nothing was compared yet", filtered ? "Choose other filters."
        : "A share of the requests is answered by both models, and the answers are scored: road.sample says how many, road.scorer how."));
      return;
    }
    const score = (value) => percent(value, 0);
    const columns = ["time, UTC", "workload", "better by score", "student", "teacher", "the client got", "a person said"];
    const line = (one) => h("tr", { role: "row" },
      h("th", { scope: "row", role: "rowheader" }, h("button.link", { type: "button", title: at(one.at), "data-key": one.request, onclick: () => app.go({ id: one.request }) }, short(one.at))),
      ...[one.workload, result(one), score(one.student_score), score(one.teacher_score), one.direction === "student_answered" ? "student's" : "teacher's", one.verdict ?? "–"].map((text, index) =>
        h("td", { role: "cell", "data-name": [2, 3, 5].includes(index) ? columns[index + 1] : undefined, className: [2, 3].includes(index) ? "number" : index === 0 ? "least name" : index === 4 ? "least" : "" }, text)));
    const number = (kind) => count(rows.filter((each) => kind(each.student_score - each.teacher_score)).length);
    const summary = h("p", { id: "summary" }, `Of these ${count(rows.length)}: the teacher's answer scored higher in ${number((by) => by < 0)}, the student's in ${number((by) => by > 0)}, equal in ${number((by) => by === 0)}.`);
    swap(list, summary, h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Comparisons" }, h("table.flow", { role: "table" },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, columns.map((name, index) => h("th", { scope: "col", role: "columnheader", className: [3, 4].includes(index) ? "number" : "" }, name)))),
      h("tbody", { role: "rowgroup" }, rows.map(line)))), next !== null && h("div.buttons", {}, h("button", { type: "button", "data-key": "older", onclick: older }, "Older")));
  }

  async function older(event) {
    event.target.disabled = true;
    pages += 1;
    await app.refresh();
  }

  async function opened() {
    const id = app.params.get("id");
    if (!id || id === shown) return;
    shown = id;
    const found = await read(`comparisons/${encodeURIComponent(id)}`);
    sheet("Comparison", contents(found, app), () => {
      shown = null;
      if (app.name === "compare") app.go({ id: "" });
    });
  }

  return {
    async refresh() {
      await load();
      // A comparison that is not there any more is no reason to show none.
      await opened().catch(app.failed);
    },
  };
}

function result(one) {
  if (one.student_score === one.teacher_score) return h("span.pill", {}, "equal");
  const better = one.student_score > one.teacher_score ? "student" : "teacher";
  return h("span", { className: `pill ${better}` }, better);
}

function contents({ comparison: one, judges, messages, student_answer: student, teacher_answer: teacher }, app) {
  const answer = (name, score, text) => h("article.answer", {}, h("h3", {}, `${name}, ${percent(score, 0)}`), h("pre", {}, text));
  return [
    h("p", {}, "Better by score: ", result(one), ` (the client got the ${one.direction === "student_answered" ? "student's" : "teacher's"} answer)`),
    judges.length > 0 && h("section", {}, h("h3", {}, "Judges"), h("ul.rows", {}, judges.map((each) => h("li", {}, `${each.judge}: ${each.verdict === "tie" ? "equal" : `${each.verdict} better`}${each.consistent ? "" : ", but not in both orders"}`)))),
    one.verdict && h("p", {}, `A person said: ${one.verdict === "tie" ? "as good" : `${one.verdict} better`}.`),
    one.stored
      ? [h("section", {}, h("h3", {}, "Conversation"), h("ol.messages.rows", {}, messages.map((each) => h("li", {}, h("p.quiet", {}, each.role), h("pre", {}, each.content))))),
        h("div.pair", {}, answer("Student", one.student_score, student), answer("Teacher", one.teacher_score, teacher))]
      : empty("The texts are not stored", "Only scores are kept. ledger.store_conversations: true stores conversations from now on."),
    h("p.quiet", {}, `Student ${one.student_version || "not known"}, teacher ${one.teacher_version || "not known"}; drawn with a probability of ${percent(1 / one.weight)}.`),
    h("p", {}, h("a", { href: app.to("traffic", { range: "all", id: one.request }) }, "The request")),
  ];
}

// The form that sends a prompt to both models.
function asking(app) {
  const prompt = h("textarea", { id: "prompt", rows: 3, required: true });
  const key = h("input", { id: "client-key", type: "password", autocomplete: "off" });
  const decision = h("p", { id: "decision", role: "status" });
  const sides = ["Student", "Teacher"].map((name) => ({ name, facts: h("p.quiet", { id: `${name.toLowerCase()}-facts` }), answer: h("pre", { id: `${name.toLowerCase()}-answer` }) }));
  const answers = h("div.pair", { hidden: true }, sides.map(({ name, facts, answer }) => h("article.answer", {}, h("h3", {}, name), facts, answer)));
  const send = h("button.primary", { type: "submit" }, "Send to both");
  const submit = async (event) => {
    event.preventDefault();
    answers.hidden = false;
    decision.textContent = "";
    send.disabled = true;
    for (const side of sides) {
      side.answer.textContent = "";
      side.facts.textContent = "waiting …";
    }
    const explained = admin("POST", "route", { body: { messages: [{ role: "user", content: prompt.value }] } })
      .then((found) => { decision.textContent = sentence(found); }, app.failed);
    await Promise.all([explained, ...sides.map((side) => ask(side, prompt.value, key.value))]);
    send.disabled = false;
  };
  return card("ask-title", "Ask both", h("form.stack", { onsubmit: submit },
    h("div", {}, h("label", { for: "prompt" }, "Prompt, sent to both models; both answers are billed"), prompt),
    h("div.buttons", {}, h("label.control", { for: "client-key" }, "Client key, if the gateway requires one"), key, send), decision, answers));
}

async function ask(side, prompt, clientKey) {
  const model = side.name.toLowerCase();
  try {
    const { value, headers, seconds } = await complete(model, prompt, clientKey);
    side.answer.textContent = value.choices?.[0]?.message?.content ?? "";
    const usage = value.usage;
    const tokens = usage ? `${count(usage.prompt_tokens)} + ${count(usage.completion_tokens)} tokens` : "tokens not reported";
    const cost = model === "student" ? "billed hourly" : await costOf(headers.get("x-breakeven-request-id"));
    side.facts.textContent = `${tokens}, ${seconds.toFixed(2)} s, ${cost}`;
  } catch (error) {
    side.facts.textContent = error.message;
  }
}

// The cost of a request, from the ledger.
const costOf = (id) => read(`requests/${encodeURIComponent(id)}`).then(({ request }) => usd(request.cost_usd), () => "cost not recorded yet");

function sentence(found) {
  const score = found.score === null ? "" : ` Score ${found.score.toFixed(3)}, threshold ${found.threshold.toFixed(2)}.`;
  const novelty = found.novelty === null || found.novelty === undefined ? "" : ` Novelty ${percent(found.novelty)}.`;
  const why = found.explanation ? ` Why: ${found.explanation}.` : "";
  return `Routed to the ${found.route} (${found.reason}).${why}${score}${novelty}`;
}
