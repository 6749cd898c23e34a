// The workloads: the stage of each, what was measured, and the operator's word on it.

import { count, moment, NOT_MEASURED, percent, usd } from "/console/format.js";

const $ = (id) => document.getElementById(id);

const STAGES = {
  observe: "the teacher answers, and the student is measured beside it",
  propose: "the teacher answers; a proposal waits for you",
  route: "what is in force routes",
  watch: "what is in force routes, and comparisons check it",
};

const more = (number) => `${count(number)} more comparison${number === 1 ? "" : "s"}`;
const at = (microseconds) => `${moment(microseconds / 1000)} UTC`;
const share = (value) => percent(value, 0);

// What a promise does, in a sentence without a full stop.
const promised = (one) =>
  `${share(one.answered)} of the requests are answered by the student; at least ${percent(one.low)} of the teacher's quality is kept`;

// What a promise rests on.
const basis = (one) =>
  `from ${count(one.comparisons)} comparisons, for a floor of ${percent(one.floor)}; router ${one.artifact}, ${hardest(one)}`;

// What the threshold means, and its value, which is on a scale of the router's own.
function hardest(one) {
  const value = `threshold ${one.threshold.toFixed(4)}`;
  if (one.share === null) return value;
  if (one.share >= 1) return `none of the measured traffic is too hard for the student (${value})`;
  return `the hardest ${share(1 - one.share)} of the measured traffic to the teacher (${value})`;
}

const saves = (row) =>
  row.proposal_saves_usd_per_month === null
    ? `what it saves is ${NOT_MEASURED}`
    : `it saves ${usd(row.proposal_saves_usd_per_month)} a month of the teacher's bill`;

// Each cell is a list of lines; the first one is the main one.
function stage(row) {
  const lines = row.routed_by_operator ? ["routed by the operator"] : [row.stage, STAGES[row.stage]];
  if (row.since && !row.routed_by_operator) lines.push(`since ${at(row.since)}`);
  if (row.why) lines.push(`why: ${row.why}`);
  if (row.held) lines.push(`waits: ${row.held}`);
  return lines;
}

function measured(row) {
  const missing = Math.max(0, row.next_look_at - row.comparisons);
  if (row.retention === null) return [`${NOT_MEASURED}: ${more(missing)}`, looks(row)];
  const { value, low, high } = row.retention;
  return [`${percent(value)} of the teacher's if it answered everything`, `95%: ${percent(low)} to ${percent(high)}`, looks(row)];
}

const looks = (row) => `${count(row.comparisons)} comparisons so far; the next look is at ${count(row.next_look_at)}`;

function inForce(row) {
  if (row.routed_by_operator) return ["the operator's artifact or threshold"];
  if (row.in_force === null) return ["nothing: the teacher answers everything"];
  const since =
    row.margin === null
      ? `since then: ${NOT_MEASURED}; at least 30 comparisons are needed`
      : `since then: ${percent(Math.abs(row.margin))} ${row.margin < 0 ? "below" : "above"} the floor`;
  return [promised(row.in_force), since, basis(row.in_force)];
}

function proposal(row) {
  const lines = row.proposal === null ? ["none"] : [promised(row.proposal), saves(row), basis(row.proposal)];
  if (row.missing !== null && row.would_answer !== null) {
    lines.push(`about ${more(row.missing)} would allow about ${share(row.would_answer)}`);
  }
  return lines;
}

const COLUMNS = [["Stage", stage], ["The student's quality", measured], ["In force", inForce], ["Proposal", proposal]];

// What the operator can do with a workload: its name, the call, what to say in the question before, and what after.
function words(row) {
  if (row.routed_by_operator) return [];
  const found = [];
  const now = row.in_force === null ? "Now the teacher answers everything." : `Now ${promised(row.in_force)}.`;
  if (row.proposal !== null) {
    found.push({ name: "Put in force", call: "apply", done: "The proposal is in force",
      question: [now, `Then ${promised(row.proposal)}; ${saves(row)}. You can roll it back.`, `This is known ${basis(row.proposal)}.`] });
  }
  const before = row.previous === null ? "Then the teacher answers everything." : `Then ${promised(row.previous)}.`;
  if (row.in_force !== null) {
    found.push({ name: "Roll back", call: "rollback", done: "Rolled back", question: [now, before] });
  }
  return found;
}

// Ask once, with a paragraph for each text of the question; true if the operator confirms.
function confirmed(title, question, name) {
  const dialog = $("confirm");
  $("confirm-title").textContent = title;
  $("confirm-text").replaceChildren(...question.map((text) => paragraph(text, 0)));
  $("confirm-yes").textContent = name;
  dialog.returnValue = "";
  $("confirm-yes").onclick = () => dialog.close("yes");
  $("confirm-no").onclick = () => dialog.close("");
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
  });
}

export class Road {
  // `changed` is awaited after a change, for what else depends on it.
  constructor(api, showStatus, changed) {
    this.api = api;
    this.showStatus = showStatus;
    this.changed = changed;
    $("refresh-road").onclick = () => this.load().then(() => showStatus(""), (error) => showStatus(error.message, true));
  }

  async load() {
    const { workloads, events } = await this.api.admin("GET", "road?limit=20");
    $("operator-routes").hidden = !workloads.some((row) => row.routed_by_operator);
    $("road").tBodies[0].replaceChildren(...workloads.map((row) => this.row(row)));
    $("road-events").replaceChildren(...events.map(event));
    $("no-events").hidden = events.length > 0;
  }

  // The roles are explicit: on a narrow screen the style sheet shows the cells below each other, which drops them.
  row(row) {
    const line = document.createElement("tr");
    line.setAttribute("role", "row");
    const head = document.createElement("th");
    head.scope = "row";
    head.setAttribute("role", "rowheader");
    head.textContent = row.workload;
    line.append(head);
    for (const [name, lines] of COLUMNS) cell(line, name).append(...lines(row).map(paragraph));
    const buttons = words(row).map((word) => this.button(row, word));
    if (buttons.length) cell(line, "Change").append(...buttons);
    else cell(line, "Change").textContent = "–";
    return line;
  }

  button(row, word) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = word.name;
    button.ariaLabel = `${word.name}: ${row.workload}`;
    button.onclick = () => this.say(row, word, button);
    return button;
  }

  async say(row, word, button) {
    if (!(await confirmed(`${word.name}: ${row.workload}`, word.question, word.name))) return;
    button.disabled = true;
    let said = [`${word.done}: ${row.workload}. All gateways follow within seconds.`, false];
    try {
      await this.api.admin("POST", `road/${encodeURIComponent(row.workload)}/${word.call}`);
    } catch (error) {
      said = [error.message, true];
    }
    try {
      await this.load();
      await this.changed();
    } catch (error) {
      said = [said[1] ? said[0] : `${said[0]} ${error.message}`, true];
      button.disabled = false;
    }
    this.showStatus(...said);
    // The button that had the focus is gone.
    $("road-title").focus();
    $("status").scrollIntoView({ block: "nearest" });
  }
}

function cell(line, name) {
  const found = line.insertCell();
  found.setAttribute("role", "cell");
  found.dataset.name = name;
  return found;
}

function paragraph(text, number) {
  const found = document.createElement("p");
  found.className = number ? "hint" : "main";
  found.textContent = text;
  return found;
}

function event(one) {
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.dateTime = new Date(one.at / 1000).toISOString();
  time.textContent = at(one.at);
  item.append(time, ` ${one.workload}, ${one.stage}: ${one.text}`);
  return item;
}
