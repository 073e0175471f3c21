// The ledger of looks: every verdict that saw test rows, whatever its config. A row that was looked at twice proves less.
import type { Context } from '../base/context.ts'

/** What rows are of: symbols and the length of their bars; for a table its own name, and 'rows'. */
export interface Looked {
  symbols: string[]
  timeframe: string
}

/**
 * Writes a look at the test rows from the times `from` to `to` (epoch ms) down and counts the looks that overlap it, this one included:
 * those that share a time and a symbol at the same timeframe.
 */
export async function countLook(
  { run, symbols, timeframe, from, to }: Looked & { run: string; from: number; to: number },
  { database, now }: Context,
): Promise<number> {
  return database.transaction().execute(async transaction => {
    await transaction
      .insertInto('looks')
      .values({
        run,
        symbols: JSON.stringify([...symbols].sort()),
        timeframe,
        test_from: from,
        test_to: to,
        looked: now(),
      })
      .execute()
    const looks = await transaction
      .selectFrom('looks')
      .select('symbols')
      .where('timeframe', '=', timeframe)
      .where('test_from', '<=', to)
      .where('test_to', '>=', from)
      .execute()
    return looks.filter(look => (JSON.parse(look.symbols) as string[]).some(symbol => symbols.includes(symbol))).length
  })
}
