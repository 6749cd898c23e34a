// The official OpenAI SDK for Node; see driving.mjs.
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { main, weatherIn } from "./driving.mjs";
import { client } from "./snippet.mjs";

const City = z.object({ city: z.string(), country: z.string() });
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const user = (content) => [{ role: "user", content }];

const chat = {
  async ask(text, model = "auto") {
    return (await client.chat.completions.create({ model, messages: user(text) })).choices[0].message.content;
  },
  async stream(text) {
    const parts = [];
    for await (const chunk of await client.chat.completions.create({ model: "auto", messages: user(text), stream: true }))
      if (chunk.choices[0]?.delta.content) parts.push(chunk.choices[0].delta.content);
    return parts;
  },
  async tools(text) {
    const weather = { name: "weather", parse: JSON.parse, function: ({ city }) => weatherIn(city), parameters };
    const tools = [{ type: "function", function: weather }];
    return client.chat.completions.runTools({ model: "auto", messages: user(text), tools, stream: true }).finalContent();
  },
  async structured(text) {
    const response_format = zodResponseFormat(City, "city");
    const answer = await client.chat.completions.parse({ model: "auto", messages: user(text), response_format });
    return answer.choices[0].message.parsed;
  },
};

const responses = {
  async ask(text, model = "auto") {
    return (await client.responses.create({ model, input: text })).output_text;
  },
  async stream(text) {
    const parts = [];
    const events = await client.responses.create({ model: "auto", input: text, stream: true });
    for await (const event of events) if (event.type === "response.output_text.delta") parts.push(event.delta);
    return parts;
  },
  async tools(text) {
    const input = user(text);
    const tools = [{ type: "function", name: "weather", parameters, strict: true }];
    for (;;) {
      const response = await client.responses.stream({ model: "auto", input, tools }).finalResponse();
      const calls = response.output.filter((item) => item.type === "function_call");
      if (calls.length === 0) return response.output_text;
      for (const { call_id, name, arguments: given } of calls) {
        input.push({ type: "function_call", call_id, name, arguments: given });
        input.push({ type: "function_call_output", call_id, output: weatherIn(JSON.parse(given).city) });
      }
    }
  },
  async structured(text) {
    const answer = await client.responses.parse({ model: "auto", input: text, text: { format: zodTextFormat(City, "city") } });
    return answer.output_parsed;
  },
};

await main({ chat, responses });
