// A model server not written here, the npm package `@copilotkit/aimock`, until stdin ends: node aimock.cjs CHAOS.
// CHAOS is a JSON object of rates, such as {"dropRate": 0.2}. Prints the base URL.
"use strict";

const path = require("node:path");
const { LLMock } = require("@copilotkit/aimock");

async function main() {
  const mock = new LLMock({ port: 0, logLevel: "silent", chunkSize: 7 });
  mock.loadFixtureFile(path.join(__dirname, "aimock.json"));
  mock.setChaos(JSON.parse(process.argv[2] || "{}"));
  await mock.start();
  console.log(`${mock.url}/v1`);
  process.stdin.on("end", () => process.exit(0)).resume();
}

main();
