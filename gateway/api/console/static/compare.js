// One prompt to both models, side by side, and what the router would have done with it.

import { count, percent, usd } from "/console/format.js";

const $ = (id) => document.getElementById(id);

export function compare(api, say) {
  $("compare").onsubmit = async (event) => {
    event.preventDefault();
    const prompt = $("prompt").value;
    const sides = ["student", "teacher"];
    for (const side of sides) {
      $(`${side}-answer`).textContent = "";
      $(`${side}-facts`).textContent = "asking …";
    }
    const explained = api
      .admin("POST", "route", { messages: [{ role: "user", content: prompt }] })
      .then((decision) => { $("decision").textContent = sentence(decision); })
      .catch((fault) => say(fault.message, true));
    await Promise.all([explained, ...sides.map((side) => ask(api, side, prompt))]);
  };
}

async function ask(api, side, prompt) {
  try {
    const { value, headers, seconds } = await api.ask(side, prompt, $("client-key").value);
    $(`${side}-answer`).textContent = value.choices?.[0]?.message?.content ?? "";
    const usage = value.usage;
    const tokens = usage ? `${count(usage.prompt_tokens)} + ${count(usage.completion_tokens)} tokens` : "tokens not reported";
    const cost = side === "student" ? "paid for by the hour" : await costOf(api, headers.get("x-breakeven-request-id"));
    $(`${side}-facts`).textContent = `${tokens}, ${seconds.toFixed(2)} s, ${cost}`;
  } catch (fault) {
    $(`${side}-facts`).textContent = fault.message;
  }
}

// What the ledger says that this request cost.
async function costOf(api, id) {
  const { decisions } = await api.admin("GET", "decisions?limit=50");
  const row = decisions.find((one) => one.request_id === id);
  return row ? usd(row.cost_usd) : "cost not in the ledger yet";
}

function sentence(decision) {
  const score = decision.score === null ? "" : ` Score ${decision.score.toFixed(3)}, threshold ${decision.threshold.toFixed(2)}.`;
  const novelty = decision.novelty === null || decision.novelty === undefined ? "" : ` Novelty ${percent(decision.novelty)}.`;
  const pushes = (decision.pushes ?? []).slice(0, 3).map((push) => Object.values(push)[0]).join(", ");
  return `The router sends it to the ${decision.route}: ${decision.reason}.${score}${novelty}${pushes ? ` What pushed most: ${pushes}.` : ""}`;
}
