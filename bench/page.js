// docs/benchmarks.md, from what was measured.
import { availableParallelism } from 'node:os'

const INTRODUCTION = `# Benchmarks

Written by \`make bench\`; edits here are lost. Ours and the peers' rounds alternate in one run on one machine. A figure is
the median of all rounds, a ratio that of two medians; in brackets stand the smallest and the largest of a single round.
A claim is held to its bound, and the command fails when one does not hold; a figure without a bound is only told.`

/** The page for benchmarks with their judged claims; `load` is the machine's load average before the first of them. */
export function page(measured, load) {
  const versions = Object.assign({}, ...measured.map(benchmark => benchmark.versions))
  const parts = measured.map(({ title, method, rounds, claims, versions }) =>
    [
      `## ${title}`,
      `${method} Rounds: ${rounds}.${versions ? ` ${listed(versions)}.` : ''}`,
      table(['figure', 'bound', 'measured', ''], claims.map(row)),
    ].join('\n\n'),
  )
  return `${[INTRODUCTION, machine(versions, load), ...parts].join('\n\n')}\n`
}

const machine = ({ Python }, load) =>
  [
    `${availableParallelism()} cores (${process.arch})`,
    `Node ${process.versions.node}`,
    `Python ${Python}`,
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
