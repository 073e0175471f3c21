// docs/benchmarks.md, from what was measured.
import { availableParallelism } from 'node:os'
import { BENCHMARKS } from './claims.js'

const INTRODUCTION = `# Benchmarks

Written by \`make bench\` and \`make bench-long\`; edits here are lost. Ours and the peers' rounds alternate in one run on one machine. A figure is
the median of all rounds, a ratio that of two medians; in brackets stand the smallest and the largest of a single round.
A claim is held to its bound, and the command fails when one does not hold; a figure without a bound is only told.`

/**
 * The page with judged claims of what was measured; `load` is the machine's load average before the first of them.
 * What was not measured now stays as it is in `before`; one that is long says on which machine it was measured.
 */
export function page(measured, load, before) {
  const versions = Object.assign({}, ...measured.map(benchmark => benchmark.versions))
  const where = machine(versions, load)
  const [head, ...kept] = before.trimEnd().split(/\n\n(?=## )/)
  const sections = new Map(kept.map(section => [section.slice(3, section.indexOf('\n')), section]))
  for (const one of measured) sections.set(one.title, section(one, one.long ? ` ${where}` : ''))
  const ordered = BENCHMARKS.flatMap(({ title }) => sections.get(title) ?? [])
  const introduction = measured.every(({ long }) => long) ? head : [INTRODUCTION, where].join('\n\n')
  return `${[introduction, ...ordered].join('\n\n')}\n`
}

const section = ({ title, method, rounds, claims, versions }, where) =>
  [
    `## ${title}`,
    `${method} Rounds: ${rounds}.${versions ? ` ${listed(versions)}.` : ''}${where}`,
    table(['figure', 'bound', 'measured', ''], claims.map(row)),
  ].join('\n\n')

const machine = ({ Python }, load) =>
  [
    `${availableParallelism()} cores (${process.arch})`,
    `Node ${process.versions.node}`,
    ...(Python ? [`Python ${Python}`] : []),
    `load average ${load.toFixed(1)} before the first round`,
    `${new Date().toISOString().slice(0, 10)}.`,
  ].join(', ')

const listed = versions =>
  Object.entries(versions)
    .filter(([name]) => name !== 'Python')
    .map(([name, version]) => `${name} ${version}`)
    .join(', ')

const table = (head, rows) => [head, head.map(() => '---'), ...rows].map(cells => `| ${cells.join(' | ')} |`).join('\n')

/** Figure, bound, what was measured, verdict. */
export function row({ claim, unit, most, least, value, from, to, pass }) {
  const bound =
    most !== undefined ? `≤ ${withUnit(most, unit)}` : least !== undefined ? `≥ ${withUnit(least, unit)}` : ''
  const spread = from === to ? '' : ` (${short(from)} – ${short(to)})`
  return [claim, bound, `${withUnit(value, unit)}${spread}`, pass === undefined ? '' : pass ? 'holds' : '**fails**']
}

const withUnit = (value, unit) => `${short(value)}${unit && ` ${unit}`}`

const short = value =>
  value !== 0 && Math.abs(value) < 1e-4 ? value.toExponential(1) : String(Number(value.toPrecision(3)))
