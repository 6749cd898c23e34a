// A person judges pairs of answers, without being told which is whose.

import { admin, read } from "/console/api.js";
import { change, empty, h, select, swap } from "/console/dom.js";
import { count } from "/console/format.js";

const ENOUGH = 20; // verdicts from which on they correct the measured quality

export function open(root, app) {
  const [head, pair, known] = ["label-head", "label-pair", "label-known"].map((id) => h("div", { id }));
  root.append(h("div.stack", {}, head, pair, known));
  let after = null; // the pair that was skipped last
  let skipped = 0;
  let state = null;
  let asked = null; // the pair that is being read
  const workload = () => app.params.get("workload") ?? "default";

  function draw(names) {
    if (names) {
      swap(head, names.length > 1 && h("div.filters", {}, select("Workload", names.map((one) => [one, one]), workload(), (chosen) => app.go({ workload: chosen }))));
    }
    asked = state.pair;
    swap(pair, state.pair ? question() : nothing());
    const share = Math.min(1, state.verdicts / ENOUGH);
    const bar = h("span");
    bar.style.width = `${100 * share}%`;
    swap(known, h("section.card", { "aria-labelledby": "known-title" }, h("h2", { id: "known-title" }, "What your verdicts say"),
      h("p", { id: "verdicts" }, `${count(state.verdicts)} verdict${state.verdicts === 1 ? "" : "s"} so far; ${count(state.waiting)} stored pairs wait.`),
      share < 1 && h("div.meter", {}, bar), h("p.quiet", {}, state.quality), state.scorer && h("p.quiet", {}, state.scorer)));
  }

  const nothing = () => {
    const passed = skipped && state.waiting;
    return empty(passed ? "No other pair waits" : "No pair to judge", passed ? `You skipped ${count(skipped)}.` : state.hint,
      passed ? h("button", { type: "button", onclick: () => { begin(); app.refresh(); } }, "Show them again") : null);
  };

  function question() {
    const { messages, first, second } = state.pair;
    const answer = (name, text) => h("article.answer", { "aria-label": `Answer ${name}` }, h("h3", {}, `Answer ${name}`), h("pre", {}, text));
    const say = (text, better, key, kind = "") => h("button", { type: "button", className: kind, "data-key": better, "aria-keyshortcuts": key, onclick: (event) => tell(better, event.currentTarget) }, text, h("kbd", { "aria-hidden": "true" }, key));
    return h("section.card", { "aria-labelledby": "pair-title" }, h("h2", { id: "pair-title" }, "Which answer is better?"),
      h("ol.messages.rows", {}, messages.map((one) => h("li", {}, h("p.quiet", {}, one.role), h("pre", {}, one.content)))),
      h("div.pair", {}, answer("A", first), answer("B", second)),
      h("div.buttons.end", {}, say("A is better", "first", "A", "primary"), say("B is better", "second", "B", "primary"), say("As good", "tie", "T"), say("Skip", "skip", "S")));
  }

  function begin() {
    asked = null;
    after = null;
    skipped = 0;
  }

  async function tell(better, button) {
    const { request } = state.pair;
    asked = null;
    if (better === "skip") {
      after = request;
      skipped += 1;
      await app.refresh();
      return;
    }
    const call = async () => {
      state = await admin("POST", `labels/${request}`, { query: { workload: workload() }, body: { better, after } });
    };
    if (await change(button, call, () => "Stored.")) draw();
    else await app.refresh();
  }

  document.addEventListener("keydown", (event) => {
    const written = event.target.closest("input, select, textarea, dialog");
    if (app.name !== "label" || !root.isConnected || written || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    root.querySelector(`[aria-keyshortcuts="${CSS.escape(event.key.toUpperCase())}"]:enabled`)?.click();
  });

  return {
    async refresh() {
      const [found, road] = await Promise.all([read("labels", { workload: workload(), after }), read("road", { limit: 0 })]);
      // A comparison that came in meanwhile may come first now; the pair that is being read stays all the same.
      state = asked && found.pair ? { ...found, pair: asked } : found;
      draw(road.workloads.map((one) => one.workload));
    },
    moved() {
      begin();
      return app.refresh();
    },
  };
}
