// The shell: signing in and out, which page is shown, the time range, and refreshing by itself.

import { session, SignedOut, signIn, signOut } from "/console/api.js";
import { $, empty, h, status } from "/console/dom.js";
import { icon } from "/console/icons.js";

// Each page is a module that is loaded when it is first opened: `open(root, app)` fills `root`, and returns
// `{ refresh, moved }`.
const PAGES = [
  ["overview", "Overview", "What the student saves, and what of the teacher's quality is kept."],
  ["tune", "Tune", "How much of the traffic goes to the teacher, and what that does to quality and cost."],
  ["traffic", "Traffic", "Single requests: where each one went, why, and what it cost."],
  ["label", "Label", "Judge pairs of answers. Those whose label tells most come first."],
  ["students", "Students", "The student in force, the next one, and how they compare."],
  ["compare", "Compare", "Answers of student and teacher to the same requests, and how they scored."],
  ["changes", "Changes", "Who changed what routes, and when."],
];
const HOUR = 3600;
const RANGES = { "24h": 24 * HOUR, "7d": 7 * 24 * HOUR, "30d": 30 * 24 * HOUR, all: null };

const app = {
  // The parameters of the address, after the name of the page.
  params: new URLSearchParams(),
  // Change parameters of the address; undefined or "" removes one.
  go(changes, page = app.name) {
    const params = new URLSearchParams(app.params);
    for (const [name, value] of Object.entries(changes)) {
      if (value === undefined || value === "") params.delete(name);
      else params.set(name, value);
    }
    location.hash = address(page, params);
  },
  // The address of another page with these parameters.
  to: (page, params = {}) => `#${address(page, new URLSearchParams({ ...kept(), ...params }))}`,
  get range() {
    return $("range").value;
  },
  // Begin of the time range in microseconds, a whole hour; undefined: the beginning.
  get since() {
    const seconds = RANGES[app.range];
    return seconds === null ? undefined : (Math.floor(Date.now() / 1000 / HOUR) * HOUR - seconds) * 1e6;
  },
  get rangeName() {
    return $("range").selectedOptions[0].textContent.toLowerCase();
  },
  refresh,
  failed,
};

const address = (page, params) => `/${page}${[...params].length ? `?${params}` : ""}`;
const kept = () => (app.params.has("range") ? { range: app.params.get("range") } : {});

let page = null; // what the open page gave, with its `root`
let opening = 0; // numbers the openings, so that a slow one does not replace a later one
let busy = false;
let again = false; // whether something asked for a refresh meanwhile
let refreshFailed = false;

function navigation() {
  const link = ([name, title]) =>
    h("li", {}, h("a", { href: app.to(name), "aria-current": name === app.name ? "page" : undefined }, icon(name), h("span", {}, title)));
  $("pages").replaceChildren(h("ul", {}, PAGES.map(link)));
}

async function route() {
  const [, name = "", query = ""] = /^#\/([a-z]*)\??(.*)$/.exec(location.hash) ?? [];
  const found = PAGES.find(([one]) => one === name) ?? PAGES[0];
  const same = page !== null && app.name === found[0];
  app.name = found[0];
  app.params = new URLSearchParams(query);
  $("range").value = app.params.get("range") in RANGES ? app.params.get("range") : "7d";
  navigation();
  if (same) {
    (page.moved ?? refresh)();
    return;
  }
  const number = ++opening;
  page = null;
  $("title").textContent = found[1];
  $("lead").textContent = found[2];
  document.title = `${found[1]} – Breakeven`;
  const root = h("div", {});
  $("updated").textContent = "";
  $("page").replaceChildren(h("p.quiet", {}, "Loading …"));
  // A module that could not be loaded once is not asked for again before the console is.
  const module = await import(`/console/${found[0]}.js`).catch(() => null);
  if (number !== opening) return;
  if (module === null) {
    missing("The gateway cannot be reached.", () => location.reload());
    return;
  }
  page = { ...module.open(root, app), root };
  await refresh();
}

// Say in the place of the page that there is none, and let the operator try again.
function missing(why, again) {
  $("page").replaceChildren(empty("This page could not be loaded", why, h("button", { type: "button", onclick: again }, "Try again")));
}

// Load what the open page shows anew. Errors are shown.
async function refresh() {
  if (page === null) return;
  if (busy) {
    again = true;
    return;
  }
  const shown = page;
  busy = true;
  again = false;
  $("app").setAttribute("aria-busy", "true");
  try {
    await shown.refresh();
    if (shown === page) {
      if (!shown.root.isConnected) $("page").replaceChildren(shown.root);
      $("updated").textContent = `Updated ${new Date().toISOString().slice(11, 19)} UTC`;
      if (refreshFailed) status("");
      refreshFailed = false;
    }
  } catch (error) {
    if (shown === page) {
      refreshFailed = true;
      if (shown.root.isConnected || error instanceof SignedOut) failed(error);
      else missing(error.message, refresh);
    }
  } finally {
    busy = false;
    $("app").removeAttribute("aria-busy");
    if (again || (page !== null && shown !== page)) await refresh();
  }
}

function failed(error) {
  if (error instanceof SignedOut) showDoor(error.message);
  else status(error.message, true);
}

function showDoor(message = "") {
  opening += 1;
  page = null;
  status("");
  document.querySelectorAll("dialog[open]").forEach((dialog) => dialog.close());
  $("page").replaceChildren();
  $("app").hidden = true;
  $("door").hidden = false;
  $("door-message").textContent = message;
  $("admin-key").focus();
}

function showApp() {
  $("door").hidden = true;
  $("app").hidden = false;
  route();
}

$("sign-in").onsubmit = async (event) => {
  event.preventDefault();
  const key = $("admin-key").value;
  const button = $("sign-in").querySelector("button");
  button.disabled = true;
  try {
    await signIn(key);
    $("admin-key").value = "";
    $("door-message").textContent = "";
    showApp();
  } catch (error) {
    $("door-message").textContent = error.message;
  } finally {
    button.disabled = false;
  }
};
addEventListener("signed-out", (event) => showDoor(event.detail));
$("sign-out").onclick = async () => {
  try {
    await signOut();
    showDoor();
  } catch (error) {
    failed(error);
  }
};
$("skip").onclick = (event) => {
  event.preventDefault();
  $("main").focus();
};
$("range").onchange = () => app.go({ range: $("range").value });
$("refresh").onclick = () => refresh();
let timer;
$("interval").onchange = () => {
  clearInterval(timer);
  const seconds = Number($("interval").value);
  if (seconds) timer = setInterval(() => document.hidden || document.querySelector("dialog[open]") || refresh(), 1000 * seconds);
};
$("interval").onchange();
addEventListener("hashchange", () => $("app").hidden || route());
session().then(({ signed_in: inside }) => (inside ? showApp() : showDoor()), (error) => showDoor(error.message));
