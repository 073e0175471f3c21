// docs/benchmarks.md, from what was measured.
import { availableParallelism } from 'node:os'

const INTRODUCTION = `# Benchmarks

Written by \`make bench\` and, where a section says so, by \`make bench-long\`; edits here are lost. Ours and the peers' rounds alternate in one run on one machine. A figure is
the median of all rounds, a ratio that of two medians; in brackets stand the smallest and the largest of a single round.
A claim is held to its bound, and the command fails when one does not hold; a figure without a bound is only told.`

/**
 * The page of all benchmarks, of which `measured` have judged claims; the others stay as they are on the page `before`.
 * `load` is the machine's load average before the first of them.
 */
export function page(benchmarks, measured, load, before) {
  const [head, ...sections] = before.trim().split(/\n\n(?=## )/)
  const usual = measured.filter(({ long }) => !long)
  const parts = benchmarks.flatMap(({ title }) => {
    const found = measured.find(benchmark => benchmark.title === title)
    return found ? [section(found, load)] : sections.filter(text => text.startsWith(`## ${title}\n`))
  })
  const top = usual.length ? `${INTRODUCTION}\n\n${machine(versionsOf(usual), load)}` : head
  return `${[top, ...parts].join('\n\n')}\n`
}

/** A long one is measured by itself, and says where. */
const section = ({ title, method, long, rounds, claims, versions }, load) =>
  [
    `## ${title}`,
    `${method} Rounds: ${rounds}.${versions ? ` ${listed(versions)}.` : ''}`,
    ...(long ? [`By \`make bench-long\` on ${machine(versions, load)}`] : []),
    table(['figure', 'bound', 'measured', ''], claims.map(row)),
  ].join('\n\n')

const versionsOf = measured => Object.assign({}, ...measured.map(benchmark => benchmark.versions))

const machine = ({ Python } = {}, load) =>
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
