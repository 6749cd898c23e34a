// Single requests, the newest first; one of them opened.

import { newest, read } from "/console/api.js";
import { empty, h, select, swap } from "/console/dom.js";
import { count, usd } from "/console/format.js";
import { openRequest } from "/console/request.js";
import { at, fixed, REASONS, short, why } from "/console/words.js";

const FILTERS = ["workload", "key", "route", "reason", "outcome"];
const OUTCOMES = ["ok", "upstream_error", "truncated", "client_cancelled", "gateway_error", "rejected"];
const COLUMNS = ["time, UTC", "route", "why", "workload", "key", "tokens", "cost", "seconds", "outcome"];

export function open(root, app) {
  const filters = h("div.filters", { role: "group", "aria-label": "Filters" });
  const list = h("div", { id: "requests" });
  root.append(h("div.stack", {}, h("section.card", { "aria-label": "List of requests" }, filters, list)));
  let rows = [];
  let next = null; // where older requests begin
  let pages = 1;
  let shown = null; // the id of the request in the sheet
  let asked = null; // the filters that the list is of

  const query = () => Object.fromEntries(FILTERS.map((name) => [name, app.params.get(name) ?? ""]));
  const wanted = () => JSON.stringify([query(), app.range]);

  async function load() {
    asked = wanted();
    const since = app.since;
    const [found, series] = await Promise.all([newest("decisions", "decisions", pages, { ...query(), since }), read("series", { since })]);
    ({ rows, next } = found);
    swap(filters, choices(series));
    draw();
  }

  function choices({ keys, workloads }) {
    const options = {
      workload: workloads.map((one) => [one, one]),
      key: keys.filter(Boolean).map((one) => [one, one]),
      route: ["student", "teacher", "model"].map((one) => [one, one]),
      reason: Object.keys(REASONS).map((one) => [one, one]),
      outcome: OUTCOMES.map((one) => [one, one]),
    };
    const set = FILTERS.some((name) => app.params.get(name));
    return [
      ...FILTERS.filter((name) => options[name].length > 1 || app.params.get(name)).map((name) => {
        const value = app.params.get(name) ?? "";
        const known = options[name].some(([one]) => one === value) || !value;
        const all = [["", `any ${name}`], ...options[name], ...(known ? [] : [[value, value]])];
        return select(name, all, value, (chosen) => app.go({ [name]: chosen }), { quiet: true });
      }),
      set && h("button.plain", { type: "button", onclick: () => app.go(Object.fromEntries(FILTERS.map((name) => [name, ""]))) }, "Clear filters"),
    ];
  }

  function draw() {
    if (!rows.length) {
      const filtered = FILTERS.some((name) => app.params.get(name));
      swap(list, filtered
        ? empty("No request matches", next === null ? "Choose other filters or a longer time range." : `None of the newest 50,000; older ones were not searched.`, next !== null && button())
        : empty("No requests", `None ${app.range === "all" ? "yet" : `in the ${app.rangeName}`}. Point an OpenAI client at ${location.origin}/v1, or choose a longer time range.`));
      return;
    }
    const head = h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, COLUMNS.map((name) => h("th", { scope: "col", role: "columnheader", className: `${["tokens", "cost", "seconds"].includes(name) ? "number" : ""} ${["workload", "key", "tokens"].includes(name) ? "middle" : ""}` }, name))));
    const body = h("tbody", { role: "rowgroup" }, rows.map(line));
    swap(list, h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Requests" }, h("table.flow.requests", { role: "table" }, head, body)),
      h("div.buttons", {}, h("p.quiet", {}, `${count(rows.length)} requests${next === null ? "" : " so far"}`), next !== null && button()));
  }

  const button = () => h("button", { type: "button", "data-key": "older", onclick: async (event) => {
    event.target.disabled = true;
    pages += 1;
    await app.refresh();
  } }, "Older");

  function line(row) {
    const time = h("button.link", { type: "button", "data-key": row.id, title: at(row.at), onclick: () => app.go({ id: row.id }) }, short(row.at));
    const cell = (name, ...content) => h(`td${name}`, { role: "cell" }, content);
    return h("tr", { role: "row" }, h("th", { scope: "row", role: "rowheader" }, time),
      cell("", h("span", { className: `pill ${row.route}` }, row.route)),
      cell(".wide", h("span.strong", {}, row.reason), " ", h("span.quiet", {}, why(row))),
      cell(".least.middle.name", row.workload), cell(".least.middle.name", row.key || "–"),
      cell(".number.least.middle", `${count(row.prompt_tokens)} + ${count(row.output_tokens)}`), cell(".number", usd(row.cost_usd)),
      cell(".number", `${fixed(row.seconds, 2)} s`), cell("", row.outcome === "ok" ? "ok" : h("span.pill.bad", {}, row.outcome)));
  }

  async function sheetOfAddress() {
    const id = app.params.get("id");
    if (!id || id === shown) return;
    shown = id;
    await openRequest(id, app, () => {
      shown = null;
      if (app.name === "traffic") app.go({ id: "" });
    });
  }

  return {
    async refresh() {
      await load();
      // A request that is not there any more is no reason to show none.
      await sheetOfAddress().catch(app.failed);
    },
    async moved() {
      if (wanted() !== asked) {
        pages = 1;
        await app.refresh();
      } else {
        await sheetOfAddress().catch(app.failed);
      }
    },
  };
}
