// The history: who changed what routes, and taking the last change back.

import { admin, newest } from "/console/api.js";
import { change, confirmed, empty, h, swap } from "/console/dom.js";
import { at, ago, WHO } from "/console/words.js";

export function open(root, app) {
  const list = h("div", {});
  root.append(h("section.card", { "aria-label": "Changes" }, list));
  let rows = [];
  let next = null;
  let pages = 1;

  async function load() {
    ({ rows, next } = await newest("changes", "changes", pages));
    draw();
  }

  function draw() {
    if (!rows.length) {
      swap(list, empty("Nothing has changed yet", "When a stage changes, a policy is applied or a student is promoted, it is listed here, with who did it."));
      return;
    }
    swap(list, h("ol.rows", { id: "changes" }, rows.map(entry)), next !== null && h("div.buttons", {}, h("button", { type: "button", "data-key": "older", onclick: async () => {
      pages += 1;
      await app.refresh();
    } }, "Older")));
  }

  function entry(one) {
    const time = h("time", { dateTime: new Date(one.at / 1000).toISOString(), title: at(one.at) }, `${at(one.at)}, ${ago(one.at)}`);
    const by = one.who === "gateway" ? "" : "good";
    return h("li", {},
      h("div.line", {}, h("span", {}, h("span.strong", {}, one.workload || "all workloads"), " ", h("span.pill", {}, one.stage), " ",
        h("span", { className: `pill ${by}` }, WHO[one.who] ?? one.who)), h("span.quiet", {}, time)),
      h("p", {}, one.text),
      one.undo && h("button", { type: "button", "data-key": `undo-${one.id}`, "aria-label": `Undo: ${one.text}`, onclick: (event) => undo(one, event.target) }, "Undo"));
  }

  async function undo(one, button) {
    const question = [`${one.text.slice(0, 1).toUpperCase()}${one.text.slice(1)}.`, `Undo this: ${one.undo}?`];
    if (!(await confirmed("Undo this change?", question, "Undo"))) return;
    if (await change(button, () => admin("POST", `changes/${one.id}/undo`), () => "Undone. All gateways follow within seconds.")) await app.refresh();
  }

  return { refresh: load };
}
