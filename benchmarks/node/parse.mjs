// Times eventsource-parser on the bytes of a file, in chunks of 16 KB: the median of five rounds.
import { readFileSync } from 'node:fs'
import { createParser } from 'eventsource-parser'

const text = readFileSync(process.argv[2], 'utf8')
const chunks = []
for (let at = 0; at < text.length; at += 16384) chunks.push(text.slice(at, at + 16384))

function round() {
  let count = 0
  const parser = createParser({ onEvent: () => { count++ } })
  const begun = process.hrtime.bigint()
  for (const chunk of chunks) parser.feed(chunk)
  return [Number(process.hrtime.bigint() - begun) / 1e9, count]
}

round()
const laps = Array.from({ length: 5 }, round).sort((a, b) => a[0] - b[0])
const path = new URL('./node_modules/eventsource-parser/package.json', import.meta.url)
console.log(JSON.stringify({ seconds: laps[2][0], count: laps[2][1], version: JSON.parse(readFileSync(path)).version }))
