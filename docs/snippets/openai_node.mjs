import OpenAI from "openai";

const client = new OpenAI({ baseURL: "http://127.0.0.1:8080/v1", apiKey: "sk-of-the-gateway" });

const messages = [{ role: "user", content: "What is the capital of France?" }];
const answer = await client.chat.completions.create({ model: "auto", messages });
console.log(answer.choices[0].message.content);
