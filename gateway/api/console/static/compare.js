// Send one prompt to both models, show their answers side by side, and the decision of the router.

import { count, percent, usd } from "/console/format.js";

const $ = (id) => document.getElementById(id);

export function compare(api, showStatus) {
  $("compare").onsubmit = async (event) => {
    event.preventDefault();
    const prompt = $("prompt").value;
    const sides = ["student", "teacher"];
    for (const side of sides) {
      $(`${side}-answer`).textContent = "";
      $(`${side}-facts`).textContent = "waiting …";
    }
    const explained = api
      .admin("POST", "route", { messages: [{ role: "user", content: prompt }] })
      .then((decision) => { $("decision").textContent = sentence(decision); })
      .catch((error) => showStatus(error.message, true));
    await Promise.all([explained, ...sides.map((side) => answer(api, side, prompt))]);
  };
}

async function answer(api, side, prompt) {
  try {
    const { value, headers, seconds } = await api.complete(side, prompt, $("client-key").value);
    $(`${side}-answer`).textContent = value.choices?.[0]?.message?.content ?? "";
    const usage = value.usage;
    const tokens = usage ? `${count(usage.prompt_tokens)} + ${count(usage.completion_tokens)} tokens` : "tokens not reported";
    const cost = side === "student" ? "billed hourly" : await costOf(api, headers.get("x-breakeven-request-id"));
    $(`${side}-facts`).textContent = `${tokens}, ${seconds.toFixed(2)} s, ${cost}`;
  } catch (error) {
    $(`${side}-facts`).textContent = error.message;
  }
}

// The cost of a request, from the ledger.
async function costOf(api, id) {
  const { decisions } = await api.admin("GET", "decisions?limit=50");
  const row = decisions.find((one) => one.request_id === id);
  return row ? usd(row.cost_usd) : "cost not recorded yet";
}

function sentence(decision) {
  const score = decision.score === null ? "" : ` Score ${decision.score.toFixed(3)}, threshold ${decision.threshold.toFixed(2)}.`;
  const novelty = decision.novelty === null || decision.novelty === undefined ? "" : ` Novelty ${percent(decision.novelty)}.`;
  const why = decision.explanation ? ` Why: ${decision.explanation}.` : "";
  return `Routed to the ${decision.route} (${decision.reason}).${why}${score}${novelty}`;
}
