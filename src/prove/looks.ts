// The ledger of looks: every verdict that saw test bars of a series, whatever its config. A bar that was looked at twice proves less.
import type { Context } from '../base/context.ts'

export interface Series {
  symbols: string[]
  timeframe: string
}

/** Writes a look at the test bars `from`..`to` (epoch ms) down and counts the looks at bars that overlap them, this one included. */
export async function countLook(
  { run, symbols, timeframe, from, to }: Series & { run: string; from: number; to: number },
  { database, now }: Context,
): Promise<number> {
  const series = { symbols: JSON.stringify([...symbols].sort()), timeframe }
  return database.transaction().execute(async transaction => {
    await transaction
      .insertInto('looks')
      .values({ run, ...series, test_from: from, test_to: to, looked: now() })
      .execute()
    const { looks } = await transaction
      .selectFrom('looks')
      .select(({ fn }) => fn.countAll<number>().as('looks'))
      .where('symbols', '=', series.symbols)
      .where('timeframe', '=', timeframe)
      .where('test_from', '<=', to)
      .where('test_to', '>=', from)
      .executeTakeFirstOrThrow()
    return Number(looks)
  })
}
