// One request in the sheet: why it went where it went, its attempts, what it cost, and feedback.

import { admin, read } from "/console/api.js";
import { change, h, sheet } from "/console/dom.js";
import { count, percent, usd } from "/console/format.js";
import { at, fixed, why } from "/console/words.js";

export async function openRequest(id, app, closed) {
  const found = await read(`requests/${encodeURIComponent(id)}`);
  sheet("Request", contents(found, app), closed);
}

function contents(found, app) {
  const { request: row } = found;
  const phrases = [why(row), ...found.why].filter(Boolean);
  return [
    h("p", {}, h("span", { className: `pill ${row.route}` }, row.route), " ", h("span.pill", {}, row.reason), " ",
      h("span", { className: `pill ${row.outcome === "ok" ? "good" : "bad"}` }, row.outcome)),
    section("Why", phrases.length ? h("ul.rows", { id: "why" }, phrases.map((one) => h("li", {}, one))) : h("p.quiet", {}, "Nothing more is known."),
      row.score === null ? null : h("p.quiet", {}, `Score ${fixed(row.score)}, threshold ${fixed(row.threshold)}${row.novelty === null ? "" : `, novelty ${percent(row.novelty)}`}; router ${row.artifact}.`)),
    section("Feedback", feedback(found, app)),
    section("Attempts", h("ol.rows", { id: "attempts" }, found.attempts.map(attempt))),
    section("Facts", facts([
      ["time", at(row.at)], ["duration", `${fixed(row.seconds, 3)} s`], ["status", row.status], ["endpoint", `${row.endpoint}${row.stream ? ", as a stream" : ""}`],
      ["workload", row.workload], ["client key", row.key || "none"],
      ["tokens", `${count(row.prompt_tokens)} + ${count(row.output_tokens)}`], ["cost by the token", usd(row.cost_usd)],
      ["at the teacher", row.pinned ? "pinned: outside of the baseline" : `${row.route === "student" ? "at most " : ""}${usd(row.baseline_usd)}`],
      ["request id", h("code", {}, row.request_id)], ["id in the ledger", h("code", {}, row.id)],
    ])),
    found.compared && h("p", {}, h("a", { href: app.to("compare", { id: row.id }) }, "See how student and teacher answered it")),
  ];
}

const section = (title, ...children) => h("section", {}, h("h3", {}, title), children);
const facts = (rows) => h("dl.facts", {}, rows.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value instanceof Node ? value : String(value)))));

function attempt(one) {
  const name = one.provider ? `${one.upstream}, ${one.provider}` : one.upstream;
  const estimated = Number(one.estimated_cost_usd) > 0 ? `; not reported, estimated: ${usd(one.estimated_cost_usd)}` : "";
  const cost = one.upstream === "student" ? "paid by the hour" : usd(one.cost_usd);
  return h("li", {},
    h("div.line", {}, h("span.strong", {}, `${one.number}. ${name}`), h("span", { className: `pill ${one.outcome === "ok" ? "good" : "bad"}` }, one.cause ?? one.outcome)),
    one.meaning && h("p.problem", {}, one.meaning),
    h("p.quiet", {}, `${one.version || "model not known"}; status ${one.status ?? "none"}; first event ${fixed(one.first_event_seconds)} s, ${fixed(one.seconds)} s in all`),
    h("p.quiet", {}, `${count(one.prompt_tokens)} prompt (${count(one.cached_tokens)} cached) + ${count(one.output_tokens)} output tokens; ${cost}${estimated}`),
    h("p.quiet", {}, "provider's id: ", one.upstream_request_id ? h("code", {}, one.upstream_request_id) : "not given"));
}

function feedback(found, app) {
  const said = found.feedback === null ? "Nobody has rated this answer." : `Rated ${percent(found.feedback, 0)}.`;
  const rate = (name, score, key) => h("button", { type: "button", "data-key": key, "aria-pressed": String(found.feedback === score), onclick: async (event) => {
    let after = found;
    const call = async () => {
      after = await admin("POST", `requests/${found.request.id}/feedback`, { body: { score } });
    };
    if (await change(event.target, call, () => "Rated.")) event.target.closest("#feedback").replaceWith(feedback(after, app));
  } }, name);
  return h("div.buttons", { id: "feedback" }, rate("Good answer", 1, "good"), rate("Bad answer", 0, "bad"), h("p.quiet", {}, said));
}
