// The npm package `openai` runs an assistant COUNT times, all at once: node asking.cjs BASE_URL COUNT.
// The questions take turns; calls of functions are answered. Prints the run and its text as one JSON line each.
"use strict";

const { default: OpenAI } = require("openai");

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "any", maxRetries: 0 });
const { assistants, threads } = client.beta;
const tools = [{ type: "function", function: { name: "get_weather", parameters: { type: "object" } } }];
const questions = ["hello", "riddle", "weather"];

async function ask(question) {
  const assistant = await assistants.create({ model: "gpt-4o", tools });
  const thread = await threads.create({ messages: [{ role: "user", content: question }] });
  let text = "";
  const heard = (stream) => stream.on("textDelta", (delta) => (text += delta.value));
  let run = await heard(threads.runs.stream(thread.id, { assistant_id: assistant.id })).finalRun();
  while (run.status === "requires_action") {
    const calls = run.required_action.submit_tool_outputs.tool_calls;
    const tool_outputs = calls.map((call) => ({ tool_call_id: call.id, output: "sunny" }));
    const stream = threads.runs.submitToolOutputsStream(run.id, { thread_id: thread.id, tool_outputs });
    run = await heard(stream).finalRun();
  }
  console.log(JSON.stringify({ question, status: run.status, text, error: run.last_error }));
}

async function main() {
  const count = Number(process.argv[3]);
  await Promise.all(Array.from({ length: count }, (_, number) => ask(questions[number % questions.length])));
}

main();
