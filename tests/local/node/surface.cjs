// The npm package `openai` against the local server: node surface.cjs BASE_URL. Prints one JSON line per claim.
"use strict";

const assert = require("node:assert/strict");
const { default: OpenAI, toFile } = require("openai");

const baseURL = process.argv[2];
const client = new OpenAI({ baseURL, apiKey: "any", maxRetries: 0 });
const { assistants, threads } = client.beta;

const weather = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather in a city.",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};
const time = { type: "function", function: { name: "get_local_time", description: "The current time." } };

async function collect(iterable) {
  const found = [];
  for await (const item of iterable) found.push(item);
  return found;
}

async function threadOf(text) {
  return threads.create({ messages: [{ role: "user", content: text }] });
}

function outputsFor(run, text = "sun") {
  return run.required_action.submit_tool_outputs.tool_calls.map((call) => ({ tool_call_id: call.id, output: text }));
}

const claims = {
  async "a stream emits text, messages and steps to listeners"() {
    const assistant = await assistants.create({ model: "any" });
    const thread = await threadOf("Hello");
    const heard = [];
    let text = "";
    const stream = threads.runs
      .stream(thread.id, { assistant_id: assistant.id })
      .on("textCreated", () => heard.push("textCreated"))
      .on("textDelta", (delta, snapshot) => {
        text += delta.value;
        assert.equal(snapshot.value, text);
      })
      .on("textDone", () => heard.push("textDone"))
      .on("messageDone", () => heard.push("messageDone"))
      .on("runStepDone", () => heard.push("runStepDone"))
      .on("end", () => heard.push("end"));
    const [message] = await stream.finalMessages();
    const run = await stream.finalRun();
    assert.equal(run.status, "completed");
    assert.equal(message.content[0].text.value, text);
    assert.deepEqual(heard, ["textCreated", "textDone", "messageDone", "runStepDone", "end"]);
  },

  async "function calls are streamed, answered by a submit stream, and reported"() {
    const assistant = await assistants.create({ model: "any", tools: [weather, time] });
    const thread = await threadOf("What's the weather and the time in Paris?");
    const stream = threads.runs.stream(thread.id, { assistant_id: assistant.id });
    const names = [];
    stream.on("toolCallDone", (call) => names.push(call.function.name));
    const run = await stream.finalRun();
    assert.equal(run.status, "requires_action");
    const calls = run.required_action.submit_tool_outputs.tool_calls;
    assert.deepEqual(calls.map((call) => call.function.name).sort(), ["get_local_time", "get_weather"]);
    assert.deepEqual(names.sort(), ["get_local_time", "get_weather"]);
    const byName = Object.fromEntries(calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]));
    assert.deepEqual(byName.get_weather, { city: "Paris" });
    const rest = threads.runs.submitToolOutputsStream(run.id, {
      thread_id: thread.id,
      tool_outputs: outputsFor(run),
    });
    const events = await collect(rest);
    assert.equal(events[0].event, "thread.run.step.completed");
    assert.equal(events.at(-1).event, "thread.run.completed");
  },

  async "one call after the other when calls may not be parallel"() {
    const assistant = await assistants.create({ model: "any", tools: [weather, time] });
    let run = await threads.createAndRunPoll({
      assistant_id: assistant.id,
      parallel_tool_calls: false,
      thread: { messages: [{ role: "user", content: "weather and time" }] },
    });
    let rounds = 0;
    while (run.status === "requires_action") {
      assert.equal(run.required_action.submit_tool_outputs.tool_calls.length, 1);
      rounds += 1;
      run = await threads.runs.submitToolOutputsAndPoll(run.id, {
        thread_id: run.thread_id,
        tool_outputs: outputsFor(run),
      });
    }
    assert.equal(rounds, 2);
    assert.equal(run.status, "completed");
  },

  async "creating a thread and a run is one stream"() {
    const assistant = await assistants.create({ model: "any" });
    const thread = { messages: [{ role: "user", content: "hi" }] };
    const events = await collect(threads.createAndRunStream({ assistant_id: assistant.id, thread }));
    assert.equal(events[0].event, "thread.created");
    const bare = await threads.createAndRun({ assistant_id: assistant.id, thread, stream: true });
    const again = await collect(bare);
    assert.deepEqual(again.map((item) => item.event), events.map((item) => item.event));
  },

  async "file search answers with citations at the right place"() {
    const store = await client.vectorStores.create({ name: "foods" });
    const file = await client.vectorStores.files.uploadAndPoll(
      store.id,
      await toFile(Buffer.from("Foods.\n\nFilip Carola: cake\n\nEffie: pizza\n"), "foods.txt"),
    );
    assert.equal(file.status, "completed");
    const assistant = await assistants.create({
      model: "any",
      tools: [{ type: "file_search" }],
      tool_resources: { file_search: { vector_store_ids: [store.id] } },
    });
    const thread = await threadOf("What does Filip eat?");
    const run = await threads.runs.createAndPoll(thread.id, { assistant_id: assistant.id });
    assert.equal(run.status, "completed");
    const [message] = (await threads.messages.list(thread.id)).data;
    const { value, annotations } = message.content[0].text;
    assert.equal(annotations[0].file_citation.file_id, file.id);
    assert.equal(value.slice(annotations[0].start_index, annotations[0].end_index), annotations[0].text);
    const steps = await collect(threads.runs.steps.list(run.id, { thread_id: thread.id, order: "asc" }));
    assert.equal(steps[0].step_details.tool_calls[0].file_search.results[0].file_id, file.id);
    const page = await client.vectorStores.search(store.id, { query: "pizza" });
    assert.equal(page.data[0].filename, "foods.txt");
  },

  async "files and batches go through"() {
    const files = await Promise.all(
      ["a", "b", "c"].map(async (name) => {
        const file = await toFile(Buffer.from(`The ${name} file.`), `${name}.txt`);
        return client.files.create({ file, purpose: "assistants" });
      }),
    );
    const content = await client.files.content(files[0].id);
    assert.equal(await content.text(), "The a file.");
    const store = await client.vectorStores.create({ file_ids: [files[0].id] });
    const batch = await client.vectorStores.fileBatches.createAndPoll(store.id, {
      file_ids: files.slice(1).map((file) => file.id),
    });
    assert.deepEqual([batch.status, batch.file_counts.completed], ["completed", 2]);
    const uploaded = await client.vectorStores.fileBatches.uploadAndPoll(store.id, {
      files: [await toFile(Buffer.from("d"), "d.md")],
      fileIds: [],
    });
    assert.equal(uploaded.file_counts.completed, 1);
    assert.equal((await collect(client.vectorStores.files.list(store.id, { limit: 1 }))).length, 4);
    const late = await client.vectorStores.fileBatches.cancel(batch.id, { vector_store_id: store.id });
    assert.equal(late.status, "completed");
    await client.vectorStores.files.update(files[0].id, { vector_store_id: store.id, attributes: { a: 1 } });
    await client.vectorStores.files.delete(files[0].id, { vector_store_id: store.id });
    await client.vectorStores.update(store.id, { name: "x", metadata: { a: "b" } });
    await client.vectorStores.delete(store.id);
    await client.files.delete(files[1].id);
    const kept = await collect(client.files.list({ purpose: "assistants" }));
    assert.equal(kept.some((file) => file.id === files[1].id), false);
  },

  async "objects are changed, listed and deleted"() {
    const assistant = await assistants.create({ model: "any", name: "a" });
    assert.equal((await assistants.update(assistant.id, { name: "b" })).name, "b");
    assert.equal((await assistants.retrieve(assistant.id)).name, "b");
    assert.ok((await collect(assistants.list({ limit: 1 }))).length >= 1);
    const thread = await threads.create({ metadata: { a: "b" } });
    for (const text of ["1", "2", "3"]) await threads.messages.create(thread.id, { role: "user", content: text });
    const texts = (await collect(threads.messages.list(thread.id, { limit: 2, order: "asc" }))).map(
      (message) => message.content[0].text.value,
    );
    assert.deepEqual(texts, ["1", "2", "3"]);
    const [newest] = (await threads.messages.list(thread.id)).data;
    await threads.messages.update(newest.id, { thread_id: thread.id, metadata: { c: "d" } });
    assert.deepEqual((await threads.messages.retrieve(newest.id, { thread_id: thread.id })).metadata, { c: "d" });
    await threads.messages.delete(newest.id, { thread_id: thread.id });
    await threads.update(thread.id, { metadata: {} });
    assert.equal((await threads.delete(thread.id)).deleted, true);
    assert.equal((await assistants.delete(assistant.id)).deleted, true);
  },

  async "a run can be cancelled, listed, changed"() {
    const assistant = await assistants.create({ model: "any", tools: [time] });
    const thread = await threadOf("What time is it?");
    const run = await threads.runs.createAndPoll(thread.id, { assistant_id: assistant.id });
    assert.equal((await threads.runs.cancel(run.id, { thread_id: thread.id })).status, "cancelling");
    assert.equal((await threads.runs.poll(run.id, { thread_id: thread.id })).status, "cancelled");
    await threads.runs.update(run.id, { thread_id: thread.id, metadata: { a: "b" } });
    const [listed] = await collect(threads.runs.list(thread.id));
    assert.deepEqual(listed.metadata, { a: "b" });
    assert.equal((await threads.runs.retrieve(run.id, { thread_id: thread.id })).id, run.id);
  },

  async "errors have their own types"() {
    await assert.rejects(threads.retrieve("thread_none"), OpenAI.NotFoundError);
    await assert.rejects(assistants.create({ model: "any", temperature: 9 }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.deepEqual([error.param, error.code], ["temperature", "decimal_above_max_value"]);
      assert.match(error.requestID, /^req_/);
      return true;
    });
  },

  async "leaving a stream early does not stop the run"() {
    const assistant = await assistants.create({ model: "any" });
    const thread = await threadOf("Hello");
    const stream = await threads.runs.create(thread.id, { assistant_id: assistant.id, stream: true });
    for await (const event of stream) if (event.event === "thread.run.in_progress") break;
    const [run] = (await threads.runs.list(thread.id)).data;
    assert.equal((await threads.runs.poll(run.id, { thread_id: thread.id })).status, "completed");
  },
};

async function main() {
  for (const [claim, check] of Object.entries(claims)) {
    let error = null;
    try {
      await check();
    } catch (caught) {
      error = caught.stack || String(caught);
    }
    console.log(JSON.stringify({ claim, error }));
  }
}

main();
