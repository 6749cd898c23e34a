// Calls to the gateway. The admin key is kept in this object only, never in browser storage.

// An error whose message can be shown to the user.
export class UserError extends Error {}

export class Api {
  constructor(key) {
    this.key = key;
  }

  // Call /admin/{path}; returns the decoded body. Throws UserError.
  async admin(method, path, body) {
    return (await this.send(method, `/admin/${path}`, this.key, body)).value;
  }

  // Send one prompt; returns the response body, its headers, and the time in seconds.
  async complete(model, prompt, clientKey) {
    const body = { model, messages: [{ role: "user", content: prompt }] };
    const start = performance.now();
    const { value, headers } = await this.send("POST", "/v1/chat/completions", clientKey, body);
    return { value, headers, seconds: (performance.now() - start) / 1000 };
  }

  async send(method, path, key, body) {
    const headers = { accept: "application/json" };
    if (key) headers.authorization = `Bearer ${key}`;
    if (body !== undefined) headers["content-type"] = "application/json";
    let response;
    try {
      response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    } catch {
      throw new UserError("The gateway cannot be reached.");
    }
    const value = await response.json().catch(() => null);
    if (response.ok) return { value, headers: response.headers };
    if (response.status === 404 && path.startsWith("/admin/")) {
      throw new UserError("This gateway has no admin key in its environment: set it and restart the gateway.");
    }
    throw new UserError(value?.error?.message ?? `The gateway responded with status ${response.status}.`);
  }
}
