// Sequences of bars as sources really give them: late, twice, revised, missing, bad, still open, in any format. What a simple model in a few lines says of them.
import fc from 'fast-check'
import { expect } from 'vitest'
import { numbers, tableDigest } from '../../src/base/table.ts'
import { cleanLine, dataOf, examine, given, HOUR, NOW, testContext } from './home.ts'

const context = { signal: new AbortController().signal, now: () => NOW }
const NAMES = ['time', 'open', 'high', 'low', 'close', 'volume']

type Bar = (number | null)[]

/** What a bar may be instead of good, and the code that it must get. */
const SPOIL: Record<string, (bar: Bar) => Bar> = {
  NULL_VALUE: ([t, o, h, l, , v]) => [t, o, h, l, null, v],
  NON_POSITIVE_PRICE: ([t, o, h, l, c, v]) => [t, o, h, -l!, c, v],
  NEGATIVE_VOLUME: ([t, o, h, l, c, v]) => [t, o, h, l, c, -v!],
  OHLC_INVALID: ([t, o, h, l, c, v]) => [t, o, l, h, c, v],
  FUTURE_TIMESTAMP: ([, o, h, l, c, v]) => [NOW + 30 * 24 * HOUR, o, h, l, c, v],
}

/** Of hour `i`; a bar that is still open has less volume than the closed one. */
const barOf = (i: number, volume: number): Bar => [...cleanLine(i).split(',').slice(0, 5).map(Number), volume]

const event = fc.record({
  hour: fc.nat(30),
  volume: fc.constantFrom(1000, 1000, 1000, 600, 0),
  spoilt: fc.constantFrom('', '', '', '', ...Object.keys(SPOIL)),
})

const WRITE: Record<string, (bars: Bar[]) => string> = {
  'x.csv': bars => `${NAMES}\n${bars.map(bar => `${bar.map(value => value ?? 'NaN')}\n`).join('')}`,
  'x.json': bars => JSON.stringify(bars.map(objectOf)),
  'x.jsonl': bars => bars.map(bar => `${JSON.stringify(objectOf(bar))}\n`).join(''),
}
const objectOf = (bar: Bar) => Object.fromEntries(NAMES.map((name, i) => [name, bar[i]]))

const plan = fc.record({
  events: fc.array(event, { minLength: 1, maxLength: 40 }),
  file: fc.constantFrom(...Object.keys(WRITE)),
  order: fc.constantFrom('as it is', 'sorted', 'reversed'),
})

interface Expected {
  kept: Map<number, Bar>
  reasons: Record<string, number>
  duplicates: number
}

/** Of equal times the last wins; those before it are duplicates where they are equal to it, else conflicts. */
function expectedOf(bars: Bar[], spoilt: string[]): Expected {
  const result: Expected = { kept: new Map(), reasons: {}, duplicates: 0 }
  const count = (code: string) => (result.reasons[code] = (result.reasons[code] ?? 0) + 1)
  for (const [i, bar] of bars.entries()) {
    if (spoilt[i]) count(spoilt[i])
    else result.kept.set(bar[0]!, bar)
  }
  for (const [i, bar] of bars.entries()) {
    const winner = result.kept.get(bar[0]!)
    if (spoilt[i] || winner === bar) continue
    if (String(winner) === String(bar)) result.duplicates++
    else count('DUPLICATE_TIMESTAMP_CONFLICT')
  }
  return result
}

/** Reads sequences, each also in another order, and holds what is accepted to the model. */
export async function checkSequences(runs: number): Promise<void> {
  const home = testContext()
  await fc.assert(
    fc.asyncProperty(plan, fc.infiniteStream(fc.nat()), async ({ events, file, order }, shuffle) => {
      const made = events.map(({ hour, volume, spoilt }) => ({
        spoilt,
        bar: SPOIL[spoilt]?.(barOf(hour, volume + 1)) ?? barOf(hour, volume),
      }))
      if (order !== 'as it is') made.sort((a, b) => (order === 'sorted' ? 1 : -1) * (a.bar[0]! - b.bar[0]!))
      const read = async (rows: typeof made) => {
        const path = given(home, file, WRITE[file](rows.map(({ bar }) => bar)))
        return examine(dataOf({ kind: 'file', path }), context)
      }
      const { table, counts } = await read(made)
      const { kept, reasons, duplicates } = expectedOf(
        made.map(({ bar }) => bar),
        made.map(({ spoilt }) => spoilt),
      )
      expect(counts.read).toBe(made.length)
      expect(counts.read).toBe(counts.accepted + counts.rejected + counts.duplicates)
      expect(counts).toMatchObject({ accepted: kept.size, duplicates })
      expect(counts.reasons).toMatchObject(reasons)
      const columns = NAMES.map(name => numbers(table, name))
      const got = Array.from({ length: table.rows }, (_, row) => columns.map(values => values[row]))
      expect(got).toEqual([...kept.values()].sort((a, b) => a[0]! - b[0]!))

      if (reasons.DUPLICATE_TIMESTAMP_CONFLICT) return // then the order decides
      const other = made.map(row => ({ row, at: shuffle.next().value as number })).sort((a, b) => a.at - b.at)
      const again = await read(other.map(({ row }) => row))
      expect(tableDigest(again.table)).toBe(tableDigest(table))
      expect(again.counts).toMatchObject({ accepted: kept.size, duplicates, rejected: counts.rejected })
    }),
    { numRuns: runs },
  )
}
