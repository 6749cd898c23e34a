// Ask through the gateway with the OpenAI SDK for Node: one answer, and one as a stream.
import OpenAI from "openai";

const question = process.argv[2] ?? "Where is my order 76175?";
const client = new OpenAI({
  baseURL: process.env.OPENAI_BASE_URL ?? "http://127.0.0.1:8080/v1",
  apiKey: process.env.OPENAI_API_KEY ?? "not needed",
});
const messages = [{ role: "user", content: question }];

// `auto` lets the gateway choose; `student` and `teacher` pin one of them. The headers say what was decided.
const { data, response } = await client.chat.completions.create({ model: "auto", messages }).withResponse();
console.log(data.choices[0].message.content);
const headers = response.headers;
console.log(
  `\nanswered by the ${headers.get("x-breakeven-route")}, because: ${headers.get("x-breakeven-reason")}\n`,
);

const stream = await client.chat.completions.create({ model: "auto", messages, stream: true });
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
console.log();
