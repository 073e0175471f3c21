// Dirt of every kind, put into clean candles at random: the report adds up, and exactly the right rows are left.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { numbers } from '../../src/base/table.ts'
import { cleanLine, dataOf, examine, given, HOUR, NOW, START, testContext } from './home.ts'

const context = { signal: new AbortController().signal, now: () => NOW }

/** How a row is made bad, and the code it must get. */
const SPOIL: Record<string, (line: string) => string> = {
  COLUMN_COUNT: line => line.slice(0, line.lastIndexOf(',')),
  QUOTE: line => line.replace(/,/, ',"').concat(' '),
  NULL_VALUE: line => line.replace(/,[^,]*$/, ','),
  NOT_A_NUMBER: line => line.replace(/,[^,]*$/, ',1O0'),
  OUT_OF_RANGE: line => line.replace(/,[^,]*$/, ',1e999'),
  TIMESTAMP_INVALID: line => line.replace(/^[^,]*/, 'noon'),
  FUTURE_TIMESTAMP: line => line.replace(/^[^,]*/, String(Date.UTC(2099, 0, 1))),
  NON_POSITIVE_PRICE: line => line.replace(/,[^,]*/, ',0'),
  NEGATIVE_VOLUME: line => line.replace(/,([^,]*)$/, ',-$1'),
  OHLC_INVALID: line => line.replace(/,[^,]*/, ',99999'),
}
/** What may become of a row; `twice` and `conflict` put a second row with its time right after it. */
const fate = fc.constantFrom('keep', 'keep', 'keep', 'drop', 'twice', 'conflict', 'blank', ...Object.keys(SPOIL))

const plan = fc.record({
  fates: fc.array(fate, { minLength: 1, maxLength: 60 }),
  newline: fc.constantFrom('\n', '\r\n', '\r'),
  final: fc.boolean(),
  bom: fc.boolean(),
  swap: fc.boolean(),
})

interface Expected {
  lines: string[]
  kept: Map<number, number>
  reasons: Record<string, number>
  duplicates: number
}

function dirty(fates: string[]): Expected {
  const result: Expected = { lines: [], kept: new Map(), reasons: {}, duplicates: 0 }
  const count = (code: string) => (result.reasons[code] = (result.reasons[code] ?? 0) + 1)
  for (const [i, fate] of fates.entries()) {
    const line = cleanLine(i)
    const time = START + i * HOUR
    if (fate === 'drop') continue
    if (fate in SPOIL) {
      count(fate)
      result.lines.push(SPOIL[fate](line))
      continue
    }
    result.lines.push(line)
    result.kept.set(time, 1000 + i)
    if (fate === 'blank') result.lines.push('')
    if (fate === 'twice') {
      result.duplicates++
      result.lines.push(line)
    }
    if (fate === 'conflict') {
      count('DUPLICATE_TIMESTAMP_CONFLICT')
      result.lines.push(line.replace(/,[^,]*$/, ',7'))
      result.kept.set(time, 7)
    }
  }
  return result
}

it('every row is accepted, rejected or a duplicate, by the right code', async () => {
  const home = testContext()
  let file = 0
  await fc.assert(
    fc.asyncProperty(plan, async ({ fates, newline, final, bom, swap }) => {
      const { lines, kept, reasons, duplicates } = dirty(fates)
      fc.pre(lines.length > 0)
      if (swap) lines.reverse()
      // Read backwards, the first of two rows of one time is the later one.
      if (swap) for (const [i, fate] of fates.entries()) if (fate === 'conflict') kept.set(START + i * HOUR, 1000 + i)
      const text = `${bom ? '\uFEFF' : ''}${['time,open,high,low,close,volume', ...lines].join(newline)}${final ? newline : ''}`
      const path = given(home, `${file++}.csv`, text)
      const { table, counts } = await examine(dataOf({ kind: 'file', path }), context)
      expect(counts.read).toBe(lines.filter(line => line !== '').length)
      expect(counts.read).toBe(counts.accepted + counts.rejected + counts.duplicates)
      expect(counts).toMatchObject({ accepted: kept.size, duplicates })
      expect(counts.reasons).toMatchObject(reasons)
      expect(Object.values(reasons).reduce((sum, n) => sum + n, 0)).toBe(counts.rejected)
      const got = new Map(Array.from(numbers(table, 'time'), (time, i) => [time, numbers(table, 'volume')[i]]))
      expect(got).toEqual(new Map([...kept].sort(([a], [b]) => a - b)))
      expect([...got.keys()]).toEqual([...got.keys()].sort((a, b) => a - b))
    }),
    { numRuns: 150 },
  )
})
