// Building and replacing elements.

import { SignedOut } from "/console/api.js";

export const $ = (id) => document.getElementById(id);

// An element: `h("p.quiet", { id: "x", onclick }, "text", child)`. Children that are null or false are left out.
export function h(name, props = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on") || key in element) element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Replace what is in an element, and give the focus back to the control with the same `data-key`. What was opened or
// scrolled sideways stays so.
export function swap(element, ...children) {
  const found = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  // A list of choices that is open would close: it stays where nothing beside it has changed.
  if (focused?.matches("select") && face([...element.children]) === face(found)) return;
  const key = focused?.getAttribute("data-key");
  const open = [...element.querySelectorAll("details[open][data-key]")].map((one) => one.getAttribute("data-key"));
  const scrolled = [...element.querySelectorAll(SIDEWAYS)].filter((one) => one.scrollLeft).map((one) => [named(one), one.scrollLeft]);
  element.replaceChildren(...found);
  for (const one of open) element.querySelector(`details[data-key="${CSS.escape(one)}"]`)?.setAttribute("open", "");
  for (const [name, left] of scrolled) {
    const one = [...element.querySelectorAll(SIDEWAYS)].find((each) => named(each) === name);
    if (one) one.scrollLeft = left;
  }
  if (key) element.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

const SIDEWAYS = ".scroll, #workloads";
const named = (element) => element.id || element.getAttribute("aria-label");
const face = (elements) => JSON.stringify(elements.map((one) => [one.textContent, ...[...(one.querySelectorAll?.("select") ?? [])].map((each) => each.value)]));

// A card with a title; `id` names the title.
export function card(id, title, ...children) {
  return h("section.card", { "aria-labelledby": id }, h("h2", { id }, title), ...children);
}

// What is shown in the place of data: what there is none of, and what to do.
export function empty(title, text, ...more) {
  return h("div.empty", {}, h("p.strong", {}, title), h("p.quiet", {}, text), ...more);
}

// A table that scrolls by itself where it is too wide. `columns`: their titles; those in `numbers` are aligned to
// the right, and those in `names` wrap anywhere.
// On a phone its rows become entries of a list; the roles are explicit, since the style sheet then drops them.
export function table(label, columns, rows, { numbers = [], names = [0] } = {}) {
  const side = (index) => (numbers.includes(index) ? "number" : names.includes(index) ? "name" : "");
  const head = h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, columns.map((name, index) => h("th", { scope: "col", role: "columnheader", className: side(index) }, name))));
  const cell = (content, index) => (index === 0 ? h("th", { scope: "row", role: "rowheader", className: side(0) }, content)
    : h("td", { role: "cell", "data-name": columns[index], className: side(index) }, content));
  const body = h("tbody", { role: "rowgroup" }, rows.map((cells) => h("tr", { role: "row" }, cells.map(cell))));
  return h("div.scroll", { tabindex: "0", role: "region", "aria-label": label }, h("table.flow", { role: "table" }, head, body));
}

// A select with a label: `options` are [value, text].
export function select(label, options, value, onchange, { quiet = false } = {}) {
  const field = h("select", { onchange: () => onchange(field.value), "data-key": label },
    options.map(([one, text]) => h("option", { value: one, selected: one === value }, text)));
  return h("label.control", {}, h(quiet ? "span.hidden" : "span.quiet", {}, label), field);
}

// Show a message for some seconds; an error until the next message.
let timer;
export function status(text, error = false, ...more) {
  const element = $("status");
  clearTimeout(timer);
  element.replaceChildren(text, ...more);
  element.classList.toggle("error", error);
  element.classList.toggle("shown", text !== "");
  if (text && !error) timer = setTimeout(() => element.classList.remove("shown"), 8000);
}

// Ask once, with a paragraph for each text of the question; true if the operator confirms.
export function confirmed(title, question, name) {
  const dialog = $("confirm");
  $("confirm-title").textContent = title;
  $("confirm-text").replaceChildren(...question.map((text) => h("p", {}, text)));
  $("confirm-yes").textContent = name;
  dialog.returnValue = "";
  $("confirm-yes").onclick = () => dialog.close("yes");
  $("confirm-no").onclick = () => dialog.close("");
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
  });
}

// Open the sheet at the side with a title and contents; `closed` is called when it is closed.
export function sheet(title, contents, closed = () => {}) {
  const dialog = $("sheet");
  $("sheet-title").textContent = title;
  swap($("sheet-body"), contents);
  dialog.onclose = closed;
  $("sheet-close").onclick = () => dialog.close();
  if (!dialog.open) dialog.showModal();
}

// Make a change with the button disabled meanwhile, show what `done` says, or the error. Returns whether it succeeded.
export async function change(button, call, done) {
  button.disabled = true;
  try {
    const found = await call();
    status(done(found));
    return true;
  } catch (error) {
    if (error instanceof SignedOut) dispatchEvent(new CustomEvent("signed-out", { detail: error.message }));
    else status(error.message, true);
    return false;
  } finally {
    button.disabled = false;
  }
}
