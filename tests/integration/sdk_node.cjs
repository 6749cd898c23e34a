// The official OpenAI SDK for Node against a gateway: `node sdk_node.cjs BASE_URL ASKS.json`.
// Sends the same requests to each model and prints the results as one JSON object, {model: {name: result}}.
const fs = require("node:fs");
const { OpenAI } = require("openai");

const [baseURL, asksFile] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "sk-test" });
const asks = JSON.parse(fs.readFileSync(asksFile, "utf8"));

async function collect(options) {
  const chunks = [];
  for await (const chunk of await client.chat.completions.create({ ...options, stream: true })) chunks.push(chunk);
  return chunks;
}

async function failure(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    return { kind: error.constructor.name, status: error.status, code: error.code, param: error.param, type: error.type };
  }
}

async function askAll(model) {
  const small = { model, messages: asks.question, max_tokens: 12, temperature: 0 };
  const tools = { ...small, tools: asks.tools, tool_choice: "required", max_tokens: 128 };
  const { data, response } = await client.chat.completions.create(small).withResponse();
  return {
    plain: data,
    route: response.headers.get("x-breakeven-route"),
    stream: await collect(small),
    stream_with_usage: await collect({ ...small, stream_options: { include_usage: true } }),
    tools: await client.chat.completions.create(tools),
    tools_stream: await client.chat.completions.stream(tools).finalChatCompletion(),
    json_schema: await client.chat.completions.create({ ...small, response_format: asks.schema, max_tokens: 64 }),
    logprobs: await client.chat.completions.create({ ...small, logprobs: true, top_logprobs: 2, max_tokens: 4 }),
    two: await client.chat.completions.create({ ...small, n: 2, temperature: 1, seed: 1 }),
  };
}

async function main() {
  const results = {};
  for (const model of asks.models) results[model] = await askAll(model);
  const models = [];
  for await (const model of client.models.list()) models.push(model.id);
  results.models = models;
  const unknown = { model: "gpt-4", messages: asks.question };
  results.unknown_model = await failure(client.chat.completions.create(unknown));
  const tooLong = { model: "student", messages: asks.question, max_tokens: 100000 };
  results.refused = await failure(client.chat.completions.create(tooLong));
  results.refused_stream = await failure(client.chat.completions.create({ ...tooLong, stream: true }));
  console.log(JSON.stringify(results));
}

main();
