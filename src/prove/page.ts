// What a self-contained HTML page is made of: markup that escapes by itself, figures, tables, the style. Knows nothing of models.

const MARKUP = Symbol('markup')

/** Finished markup. Only `html` and `trusted` make it: the symbol cannot come out of JSON. */
export interface Html {
  readonly [MARKUP]: string
}

export type Part = string | number | null | undefined | Html | readonly Part[]

/** Markup from a template. Text and numbers are escaped, null and undefined are nothing, lists are joined. */
export function html(strings: TemplateStringsArray, ...parts: Part[]): Html {
  return trusted(strings.reduce((text, string, i) => text + markup(parts[i - 1]) + string))
}

/** Text that is markup already: a drawn chart. */
export const trusted = (text: string): Html => ({ [MARKUP]: text })

export function markup(part: Part): string {
  if (part === null || part === undefined) return ''
  if (typeof part === 'string' || typeof part === 'number') return escaped(String(part))
  return MARKUP in part ? part[MARKUP] : part.map(markup).join('')
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
// biome-ignore lint/suspicious/noControlCharactersInRegex: HTML forbids them, so they must be found
const UNSAFE = /[&<>"']|[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/g

const escaped = (text: string): string => text.replace(UNSAFE, character => ENTITIES[character] ?? '\ufffd')

export const UNDEFINED = '–'

/** A number for reading: 1,540 · 0.413 · 0.00413 · −2.1e−5 · – for what is undefined. */
export function figure(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNDEFINED
  return plain(value, digits).replaceAll('-', '−')
}

function plain(value: number, digits: number): string {
  const size = Math.abs(value)
  if (size >= 1e15) return value.toExponential(2)
  if (Number.isInteger(value) || size >= 10_000) return value.toLocaleString('en-US', { maximumFractionDigits: 0 })
  if (size >= 10 ** (1 - digits)) return value.toFixed(digits)
  return size < 1e-4 ? value.toExponential(1) : value.toPrecision(digits)
}

/** A number with as many digits as its neighbours. */
export function fixed(value: number | null, digits: number): string {
  if (value === null || !Number.isFinite(value)) return UNDEFINED
  const text = value.toFixed(digits)
  return Number(text) === 0 ? text.replace('-', '') : text.replace('-', '−')
}

/** 0.1234 as 12.3 %. */
export const percent = (share: number | null | undefined): string =>
  share === null || share === undefined ? UNDEFINED : `${(100 * share).toFixed(1).replace('-', '−')} %`

/** Epoch ms as 2000-01-03, with the time of day (UTC) where there is one. */
export function when(time: number): string {
  if (!Number.isFinite(time) || Math.abs(time) > 8.64e15) return UNDEFINED
  const [day, clock] = new Date(time).toISOString().split('T')
  return clock === '00:00:00.000Z' ? day : `${day} ${clock.slice(0, 5)}`
}

/** `1 thing`, `2 things`. */
export const count = (n: number, thing: string, things = `${thing}s`): string =>
  `${figure(n)} ${n === 1 ? thing : things}`

/** A chart, where there are two for wide and narrow pages: `alt` says what it is, the caption what it shows. */
export function drawn(drawing: { broad: string; narrow: string } | string, alt: string, says: string): Html {
  const put = (svg: string, kind: string) =>
    trusted(svg.replace('<svg ', `<svg class="${kind}" aria-hidden="true" focusable="false" `))
  const charts =
    typeof drawing === 'string' ? put(drawing, '') : [put(drawing.broad, 'broad'), put(drawing.narrow, 'narrow')]
  return html`<figure><div role="img" aria-label="${alt}">${charts}</div><figcaption>${says}</figcaption></figure>`
}

/** A bar of `share` (0..1) of its cell, for a number that stands beside it. */
export const bar = (share: number): Html =>
  html`<span class="bar" aria-hidden="true"><i style="width:${(100 * Math.min(Math.max(share || 0, 0), 1)).toFixed(1)}%"></i></span>`

/** A table whose first column heads its rows. Columns of figures are aligned right; what has none is explained below. */
export function table(caption: string, heads: string[], rows: Part[][]): Html {
  const kinds = heads.map((_, j) => (rows.every(row => isFigure(row[j])) ? 'n' : 't'))
  const shown = (part: Part, j: number): Part => {
    if (part === null && kinds[j] === 'n') return UNDEFINED
    return typeof part === 'number' ? figure(part) : part
  }
  const cell = (part: Part, j: number) =>
    j === 0
      ? html`<th scope="row" class="${kinds[j]}">${shown(part, j)}</th>`
      : html`<td class="${kinds[j]}">${shown(part, j)}</td>`
  const hasUndefined = rows.some(row =>
    row.some((part, j) => kinds[j] === 'n' && (part === null || part === UNDEFINED)),
  )
  return html`<div class="wide" tabindex="0"><table>
<caption><span>${caption}</span></caption>
<thead><tr>${heads.map((head, j) => html`<th scope="col" class="${kinds[j]}">${head}</th>`)}</tr></thead>
<tbody>
${rows.map(row => html`<tr>${row.map(cell)}</tr>\n`)}</tbody>
</table></div>${hasUndefined ? html`<p class="small">${UNDEFINED} means that there is no such figure (nothing traded, nothing varied, not measured). It is never zero.</p>` : null}`
}

const isFigure = (part: Part): boolean =>
  part === null ||
  part === undefined ||
  typeof part === 'number' ||
  (typeof part === 'string' && /^[<>=−–\d.,e: -]+$/.test(part))

export interface Heat {
  caption: string
  /** What the rows are. */
  corner: string
  rows: string[]
  columns: string[]
  /** [row][column]; null where there is none. */
  values: (number | null)[][]
  /** The cell with a frame. */
  chosen?: { row: number; column: number }
  /** Decimals; else as many as tell the figures apart. */
  digits?: number
}

/** A table tinted by its figures: blue above zero and orange below where there are both, else the deeper the higher. It can be read, copied and heard. */
export function heatMap({ caption, corner, rows, columns, values, chosen, digits: wanted }: Heat): Html {
  const [low, high] = extent(values)
  const origin = low < 0 && high > 0 ? 0 : low
  const reach = Math.max(high - origin, origin - low) || 1
  const digits = wanted ?? (reach < 1 ? 3 : 2)
  const cell = (value: number | null, isChosen: boolean) => {
    const side = value !== null && value < origin ? 'down' : 'up'
    const tint = value === null ? 0 : Math.round((55 * Math.abs(value - origin)) / reach)
    return html`<td class="${side}${isChosen ? ' chosen' : ''}" style="--tint:${tint}%">${fixed(value, digits)}</td>`
  }
  return html`<div class="wide" tabindex="0"><table class="heat">
<caption><span>${caption}</span></caption>
<thead><tr><th scope="col">${corner}</th>${columns.map(head => html`<th scope="col" class="n">${head}</th>`)}</tr></thead>
<tbody>
${rows.map((head, i) => html`<tr><th scope="row">${head}</th>${values[i].map((value, j) => cell(value, i === chosen?.row && j === chosen.column))}</tr>\n`)}</tbody>
</table></div>`
}

/** Lowest and highest of what is defined. */
export function extent(values: (number | null)[][]): [low: number, high: number] {
  let [low, high] = [Infinity, -Infinity]
  for (const value of values.flat()) {
    if (value === null) continue
    low = Math.min(low, value)
    high = Math.max(high, value)
  }
  return [low, high]
}

/** A part of the page: its heading and how to read it in the margin, its content beside them. */
export function section(id: string, heading: string, reading: Part, ...content: Part[]): Html {
  return html`<section aria-labelledby="${id}">
<header><h2 id="${id}">${heading}</h2><p>${reading}</p></header>
<div>${content}</div>
</section>
`
}

/** The whole document. It loads nothing: the policy forbids what the markup does not contain anyway. */
export function page(title: string, body: Html): string {
  return markup(html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
<meta name="color-scheme" content="light dark"/>
<title>${title}</title>
<style>${trusted(STYLE)}</style>
</head>
<body>
${body}</body>
</html>
`)
}

// Contrast on the paper: text >= 4.5 : 1, lines of data >= 3 : 1, in both schemes. Blue and orange stay apart for every kind of colour vision.
const STYLE = `
:root { --paper: #fdfcfa; --ink: #1d1c1a; --muted: #5f5c57; --rule: #dedad2; --strategy: #0b5ea8; --benchmark: #756e64; --more: #2f7fc1; --less: #d9772b; --pass: #1a6b3c; --fail: #b3261e }
@media screen and (prefers-color-scheme: dark) {
:root { --paper: #17181a; --ink: #e9e6e1; --muted: #a8a49d; --rule: #37383b; --strategy: #6cb2f5; --benchmark: #98938b; --more: #2f7fc1; --less: #b8621f; --pass: #6fca93; --fail: #ff8f84 }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1264px; padding: 40px 32px 64px; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; overflow-wrap: break-word }
h1 { margin: 6px 0 10px; font: 600 34px/1.2 Charter, "Bitstream Charter", Cambria, Georgia, serif; text-wrap: balance }
h2 { margin: 0 0 6px; font: 600 20px/1.25 Charter, "Bitstream Charter", Cambria, Georgia, serif }
p { margin: 0 0 10px }
ul { margin: 0 0 10px; padding-left: 18px }
code { font: 13px/1.5 ui-monospace, monospace; overflow-wrap: anywhere }
.small, figcaption, caption, section > header p { color: var(--muted); font-size: 13.5px }
.lead { max-width: 74ch }
.origin { margin: 0; color: var(--muted); font-size: 14px }
.verdict { border-left: 5px solid var(--pass); padding-left: 22px; margin-bottom: 40px }
.refused { border-color: var(--fail) }
.pass, .fail { font-weight: 600; white-space: nowrap; color: var(--pass) }
.fail { color: var(--fail) }
dl { display: flex; flex-wrap: wrap; gap: 16px 44px; margin: 20px 0 0 }
dt, dd span { color: var(--muted); font-size: 13.5px }
dd { margin: 0; font-size: 24px; line-height: 1.25; font-variant-numeric: tabular-nums }
dd span { display: block }
section { display: grid; grid-template-columns: 250px minmax(0, 1fr); gap: 0 50px; border-top: 1px solid var(--rule); padding: 24px 0 34px }
.wide { overflow-x: auto; margin-bottom: 14px }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums }
caption { text-align: left; padding-bottom: 6px }
caption span { display: block; position: sticky; left: 0; max-width: min(100%, 880px, calc(100vw - 32px)) }
th, td { padding: 4px 14px 4px 0; text-align: left; vertical-align: baseline; font-weight: 400; border-bottom: 1px solid var(--rule) }
thead th { color: var(--muted); font-size: 13px; border-bottom-color: var(--muted); vertical-align: bottom }
tr > :last-child { padding-right: 0 }
.n { text-align: right; white-space: nowrap }
th.n:first-child { width: 1% }
tbody th span { display: block; color: var(--muted); font-size: 13px }
td:has(.bar) { width: 45% }
td .bar { display: inline-block; width: 100%; min-width: 60px; height: 9px }
.bar i { display: block; height: 100%; background: var(--strategy) }
.heat { table-layout: auto; font-size: 13px }
.heat th, .heat td { border: 0; padding: 2px 6px }
.heat tbody th { white-space: nowrap; padding-left: 0; width: 1% }
.heat td { min-width: 44px; text-align: right; border: 1px solid var(--paper); background: color-mix(in srgb, var(--hue) var(--tint), var(--paper)) }
.heat td.chosen { outline: 2px solid var(--ink); outline-offset: -2px; font-weight: 700 }
.up { --hue: var(--more) } .down { --hue: var(--less) }
.parts { display: flex; gap: 2px; margin: 4px 0 14px; font-size: 13px }
.parts span { min-width: 0; border-top: 9px solid var(--strategy); padding-top: 4px; color: var(--muted); overflow-wrap: anywhere }
.parts span:nth-child(2) { border-color: var(--benchmark) } .parts span:nth-child(3) { border-color: var(--less) }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); gap: 0 36px; align-items: start }
figure { margin: 0 0 14px; break-inside: avoid }
svg { display: block; width: 100%; height: auto; font-variant-numeric: tabular-nums }
svg.narrow { display: none; max-width: 520px }
aside { margin-bottom: 26px }
footer { border-top: 1px solid var(--rule); padding-top: 14px }
@media (max-width: 1000px) { section { grid-template-columns: minmax(0, 1fr) } section > header { max-width: 74ch } }
@media screen and (max-width: 640px) {
body { padding: 20px 16px 40px; font-size: 14.5px } h1 { font-size: 25px } .verdict { padding-left: 14px }
dl { gap: 12px 28px } dd { font-size: 20px }
svg.narrow { display: block } svg.broad { display: none }
th, td { padding-right: 10px } .t { min-width: 132px }
}
@media print {
@page { margin: 14mm }
* { print-color-adjust: exact; -webkit-print-color-adjust: exact }
body { padding: 0; font-size: 12px } h1 { font-size: 25px } section { grid-template-columns: minmax(0, 1fr); padding: 14px 0 } tr { break-inside: avoid } section > header { break-after: avoid } .wide { overflow: visible } .beside { grid-template-columns: 320px minmax(0, 1fr) }
}
`
