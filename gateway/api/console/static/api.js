// Calls to the gateway. The key lives in this object only: it is gone with the page.

export class Fault extends Error {}

export class Api {
  constructor(key) {
    this.key = key;
  }

  async admin(method, path, body) {
    return (await this.send(method, `/admin/${path}`, this.key, body)).value;
  }

  async ask(model, prompt, clientKey) {
    const body = { model, messages: [{ role: "user", content: prompt }] };
    const began = performance.now();
    const { value, headers } = await this.send("POST", "/v1/chat/completions", clientKey, body);
    return { value, headers, seconds: (performance.now() - began) / 1000 };
  }

  async send(method, path, key, body) {
    const headers = { accept: "application/json" };
    if (key) headers.authorization = `Bearer ${key}`;
    if (body !== undefined) headers["content-type"] = "application/json";
    let answer;
    try {
      answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    } catch {
      throw new Fault("The gateway cannot be reached.");
    }
    const value = await answer.json().catch(() => null);
    if (answer.ok) return { value, headers: answer.headers };
    if (answer.status === 404 && path.startsWith("/admin/")) {
      throw new Fault("This gateway has no admin key in its environment: set it, and start the gateway again.");
    }
    throw new Fault(value?.error?.message ?? `The gateway answered ${answer.status}.`);
  }
}
