// Vercel's AI SDK, with both of its providers; see driving.mjs.
import { createOpenAI } from "@ai-sdk/openai";
import { Output, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { main, weatherIn } from "./driving.mjs";
import { breakeven } from "./snippet.mjs";

const openai = createOpenAI({ baseURL: process.argv[2], apiKey: "sk-of-the-gateway" });

const weather = tool({
  description: "The weather in a city",
  inputSchema: z.object({ city: z.string() }),
  execute: ({ city }) => weatherIn(city),
});

async function parts(result) {
  const found = [];
  for await (const part of result.fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") found.push(part.text);
  }
  return found;
}

function way(model) {
  return {
    async ask(prompt, name = "auto") {
      return (await generateText({ model: model(name), prompt, maxRetries: 0 })).text;
    },
    async stream(prompt) {
      return parts(streamText({ model: model("auto"), prompt, maxRetries: 0, onError() {} }));
    },
    async tools(prompt) {
      const result = streamText({ model: model("auto"), prompt, tools: { weather }, stopWhen: stepCountIs(5) });
      return (await parts(result)).join("");
    },
    async structured(prompt) {
      const output = Output.object({ schema: z.object({ city: z.string(), country: z.string() }) });
      return (await generateText({ model: model("auto"), prompt, output })).output;
    },
  };
}

await main({ compatible: way(breakeven), chat: way(openai.chat), responses: way(openai.responses) });
