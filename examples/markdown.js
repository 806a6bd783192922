// Markdown in a page: blocks of lines, then spans. Text stays text: nothing of it becomes HTML.
// `render(box, markdown)` draws a text again and again while it grows.

function add(box, tag, text = "") {
  const made = box.appendChild(document.createElement(tag))
  made.textContent = text
  return made
}

const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])( +|$)/, RULED = /^ *\|?( *:?-+:? *\|)+( *:?-+:?)? *$/
const BLOCKS = [                         // the first line of a block, and what takes it from the lines
  [/^ {0,3}(`{3,}[^`]*|~{3,}.*)$/, code],
  [/^ {0,3}#{1,6} /, (box, lines) => {
    const [, marks, title] = /^ *(#+) +(.*?)[ #]*$/.exec(lines.shift())
    spans(add(box, "h" + Math.min(3, marks.length)), title)
  }],
  [/^ {0,3}([-*_])( *\1){2,} *$/, (box, lines) => add(box, "hr", lines.shift() && "")],
  [ITEM, list],
  [/^ {0,3}>/, (box, lines) => {
    const quoted = take(lines, (line, ...around) => /^ {0,3}>/.test(line) || goesOn(line, ...around))
    blocks(add(box, "blockquote"), quoted.map(line => line.replace(/^ {0,3}> ?/, "")))
  }],
]
const starts = line => BLOCKS.find(([shape]) => shape.test(line))?.[1]
const isTable = (line, next = "") => line.includes("|") && RULED.test(next) && cells(line).length === cells(next).length
const goesOn = (line, before, after) => before.trim() && line.trim() && !starts(line) && !isTable(line, after)
function take(lines, belongs) {          // the first line, and those after it that belong to it
  let end = 1
  while (end < lines.length && belongs(lines[end], lines[end - 1], lines[end + 1])) end++
  return lines.splice(0, end)
}
function code(box, lines) {
  const [, indent, fence] = /^( *)(`+|~+)/.exec(lines.shift()), pre = add(box, "pre")
  const stop = new RegExp(`^ *${fence[0]}{${fence.length},} *$`), end = lines.findIndex(line => stop.test(line))
  const inside = lines.splice(0, end < 0 ? lines.length : end).map(line => line.replace(RegExp(`^ {0,${indent.length}}`), ""))
  if (end >= 0) lines.shift()
  add(pre, "button", "copy").onclick = event => {
    navigator.clipboard?.writeText(inside.join("\n"))
    event.target.textContent = "copied"
  }
  add(pre, "code", inside.join("\n"))
}
function list(box, lines) {
  const first = ITEM.exec(lines[0])[2], made = add(box, first.length > 1 ? "ol" : "ul")
  if (first.length > 1) made.start = parseInt(first)
  for (let mark; (mark = ITEM.exec(lines[0])) && mark[2].at(-1) === first.at(-1);) {
    const [whole, indent] = mark, least = RegExp(`^ {${indent.length + 2},}`)
    const [text, ...more] = take(lines, (line, ...around) => !line.trim() || least.test(line) || goesOn(line, ...around))
    const task = text.slice(whole.length).replace(/^\[([ xX])\] /, (_, done) => done === " " ? "☐ " : "☑ ")
    blocks(add(made, "li"), [task, ...more.map(line => line.replace(RegExp(`^ {0,${whole.length}}`), ""))])
  }
}
function cells(row) {
  return row.trim().replace(/^\||(?<!\\)\|$/g, "").split(/(?<!\\)\|/).map(cell => cell.trim().replaceAll("\\|", "|"))
}
function table(box, lines) {
  const scrolled = add(box, "div"), made = add(scrolled, "table"), sides = cells(lines.splice(1, 1)[0])
  scrolled.className = "table"
  scrolled.tabIndex = 0                  // keys scroll it
  for (const [number, row] of take(lines, goesOn).entries()) {
    const written = cells(row), line = add(made, "tr")
    for (const [column, side] of sides.entries()) {
      const cell = add(line, number ? "td" : "th")
      cell.style.textAlign = !side.endsWith(":") ? "start" : side.startsWith(":") ? "center" : "end"
      spans(cell, written[column] ?? "")
    }
  }
}
function paragraph(box, lines) {         // a number that begins a line is a list only if it is 1
  const isNumber = (line, before) => before.trim() && /^ {0,3}(?!1[.)])\d+[.)]/.test(line)
  const text = take(lines, (line, ...around) => goesOn(line, ...around) || isNumber(line, ...around))
  spans(add(box, "p"), text.map(line => line.trim()).join("\n"))
}
const SPAN = RegExp([
  /\\([!-\/:-@[-`{-~])/, /(`+)(?!`)([^]*?[^`])\2(?!`)/, /(\*{1,3}|~~|(?<!\w)_{1,3})(?=[^\s*_~])([^]*?[^\s\\*~])\4(?![*~\w])/,
  /(\*{1,3})(?=[^\s*_~])([^]*?[^\s\\*~])\6(?!\*)/,
  /!?\[((?:\\.|[^\]\\])+)\]\((https?:\/\/(?:\([^\s()]*\)|[^\s()])+)[^()\n]*\)/, /(https?:\/\/[^\s<>]*[^\s<>).,:;!?'"*_~`|\]])/,
].map(shape => shape.source).join("|"), "g")
function spans(box, text) {
  let end = 0
  for (const [whole, escaped, , quoted, mark, marked, star, starred, name, address, bare, at] of all(text)) {
    box.append(text.slice(end, at), escaped ?? "")
    end = at + whole.length
    if (quoted) add(box, "code", quoted.replace(/^ (.*) $/, "$1"))
    else if (mark ?? star) spans(emphasis(box, mark ?? star), marked ?? starred)
    else if (address ?? bare) {
      const link = Object.assign(add(box, "a"), { href: address ?? bare, target: "_blank", rel: "noopener" })
      if (name?.includes("://") ?? true) link.textContent = name ?? bare
      else spans(link, name)
    }
  }
  box.append(text.slice(end))
}
const all = text => [...text.matchAll(SPAN)].map(found => [...found, found.index])
function emphasis(box, mark) {
  if (mark.length === 3) return add(add(box, "b"), "i")
  return add(box, mark === "~~" ? "del" : mark.length === 2 ? "b" : "i")
}
function blocks(box, lines) {            // each block knows its text
  while (lines.length) {
    const before = [...lines]
    if (!lines[0].trim()) { lines.shift(); continue }
    const block = starts(lines[0]) ?? (isTable(...lines) ? table : paragraph)
    block(box, lines)
    box.lastChild.source = before.slice(0, before.length - lines.length).join("\n")
  }
}
function render(box, markdown) {         // blocks that have not changed stay: one may be selected, or have the focus
  const made = document.createElement("div")
  blocks(made, markdown.split("\n"))
  const fresh = [...made.children]
  for (const old of [...box.children].slice(fresh.length)) old.remove()
  for (const [place, block] of fresh.entries()) {
    const old = box.children[place]
    if (!old) box.append(block)
    else if (old.source !== block.source) old.replaceWith(block)
  }
}
