// Calls to the gateway. Who is signed in has a cookie that this page cannot read; the admin key is kept nowhere.

// An error whose message can be shown to the user.
export class UserError extends Error {}

// The session has ended, or there was none.
export class SignedOut extends UserError {}

// Another origin cannot send this header without permission, so that the gateway knows that it was this page.
const OURS = { "x-breakeven-console": "1" };

// Call a path; returns the decoded body and the headers. Throws UserError.
async function send(method, path, body, headers = {}) {
  const sent = { accept: "application/json", ...headers };
  if (body !== undefined) sent["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers: sent, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new UserError("The gateway cannot be reached.");
  }
  const value = await response.json().catch(() => null);
  if (response.ok) return { value, headers: response.headers };
  const message = value?.error?.message ?? `The gateway responded with status ${response.status}.`;
  if (response.status === 401 && path.startsWith("/admin/")) throw new SignedOut("Your session has ended; sign in again.");
  throw new UserError(message);
}

// Call /admin/{path}; returns the decoded body. `query`: parameters, of which those that are undefined or "" are left out.
export async function admin(method, path, { query = {}, body } = {}) {
  const given = Object.entries(query).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).filter((one) => one !== undefined && one !== null && one !== "").map((one) => [name, one]),
  );
  const parameters = given.length ? `?${new URLSearchParams(given)}` : "";
  return (await send(method, `/admin/${path}${parameters}`, body, method === "GET" ? {} : OURS)).value;
}

export const read = (path, query) => admin("GET", path, { query });

// The first `pages` pages of a list of /admin, newest first: { rows, next }, where `next` is null at the end. Of a search
// that stopped in between, a page may have fewer rows.
const PAGE = 25;
const MOST = 500; // that one call may ask for
export async function newest(path, name, pages, query = {}) {
  let rows = [];
  let next;
  for (let page = 0; page < pages && rows.length < PAGE * pages && next !== null; page += 1) {
    const found = await read(path, { ...query, before: next, limit: Math.min(MOST, PAGE * pages - rows.length) });
    rows = [...rows, ...found[name]];
    next = found.next_before;
  }
  return { rows, next };
}

// The session: whether the browser is signed in, signing in, and out.
export const session = async () => (await send("GET", "/console/session")).value;
export async function signIn(key) {
  try {
    return (await send("POST", "/console/session", { key })).value;
  } catch (error) {
    if (error.message !== "There is nothing at this path.") throw error;
    throw new UserError("This gateway has no admin key in its environment: set it and restart the gateway.");
  }
}
export const signOut = async () => (await send("DELETE", "/console/session", undefined, OURS)).value;

// Send one prompt as a client; returns the response body, its headers, and the time in seconds.
export async function complete(model, prompt, clientKey) {
  const start = performance.now();
  const body = { model, messages: [{ role: "user", content: prompt }] };
  const key = clientKey ? { authorization: `Bearer ${clientKey}` } : {};
  const { value, headers } = await send("POST", "/v1/chat/completions", body, key);
  return { value, headers, seconds: (performance.now() - start) / 1000 };
}
