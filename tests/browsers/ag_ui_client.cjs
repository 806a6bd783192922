// The npm package `@ag-ui/client`: node ag_ui_client.cjs run URL, or compact, verify or encode with JSON on stdin.
"use strict";

const { readFileSync } = require("node:fs");
const { from, lastValueFrom, toArray } = require("rxjs");
const { HttpAgent, compactEvents, verifyEvents } = require("@ag-ui/client");
const { EventEncoder } = require("@ag-ui/encoder");

const given = () => JSON.parse(readFileSync(0, "utf-8"));
const said = (value) => process.stdout.write(JSON.stringify(value ?? null));

const commands = {
  async run(url) {
    const agent = new HttpAgent({ url, threadId: "thread of the page" });
    agent.messages = [{ id: "question", role: "user", content: "What is the weather in Lisbon?" }];
    const types = [];
    const errors = [];
    let problem = null;
    try {
      await agent.runAgent({ runId: "run of the page" }, {
        onEvent: ({ event }) => void types.push(event.type),
        onRunErrorEvent: ({ event }) => void errors.push(event.message),
      });
    } catch (error) {
      problem = error.message;
    }
    said({ types, problem, errors, messages: agent.messages, state: agent.state, interrupts: agent.pendingInterrupts ?? null });
  },
  async compact() {
    said(given().map((events) => compactEvents(events)));
  },
  async verify() {
    const results = [];
    for (const events of given())
      results.push(await lastValueFrom(from(events).pipe(verifyEvents(), toArray())).then(() => null, (error) => error.message));
    said(results);
  },
  async encode() {
    const encoder = new EventEncoder();
    process.stdout.write(given().map((event) => encoder.encodeSSE(event)).join(""));
  },
};

commands[process.argv[2]](process.argv[3]);
