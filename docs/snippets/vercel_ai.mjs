import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { streamText } from "ai";

const breakeven = createOpenAICompatible({
  name: "breakeven",
  baseURL: "http://127.0.0.1:8080/v1",
  apiKey: "sk-of-the-gateway",
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const { textStream } = streamText({ model: breakeven("auto"), prompt: "What is the capital of France?" });
for await (const part of textStream) process.stdout.write(part);
