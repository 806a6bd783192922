// The npm package `ai`: node ui_message_client.cjs URL. Prints the last state of the message that `useChat` would show.
"use strict";

const { DefaultChatTransport, readUIMessageStream } = require("ai");

async function read(stream) {
  const chunks = [];
  let message = null;
  let problem = null;
  const counted = stream.pipeThrough(
    new TransformStream({ transform: (chunk, out) => (chunks.push(chunk.type), out.enqueue(chunk)) }),
  );
  const states = readUIMessageStream({ stream: counted, onError: (error) => (problem = error.message) });
  for await (const state of states) message = state;
  return { chunks, message, problem };
}

async function main(api) {
  const transport = new DefaultChatTransport({ api });
  const messages = [{ id: "q", role: "user", parts: [{ type: "text", text: "What is the weather in Lisbon?" }] }];
  const asked = { chatId: "chat", messages, trigger: "submit-message", abortSignal: undefined };
  const first = await read(await transport.sendMessages(asked));
  const again = await transport.reconnectToStream({ chatId: "chat" });
  process.stdout.write(JSON.stringify({ first, again: again && (await read(again)) }));
}

main(process.argv[2]);
