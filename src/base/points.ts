// What a run measures step by step, as rows: taken at once, written in batches. Knows no stage and no tracker.
import type { Context, Point } from './context.ts'
import type { Database, Row } from './database.ts'
import { messageOf } from './errors.ts'

export interface Points {
  /** Takes points; they are written within a second. After the end nothing is taken. */
  take(points: Point[]): void
  /** Writes what waits. Never throws: what the store will not take is said in a warning. */
  close(): Promise<void>
}

const EVERY_MS = 1000
/** Rows of one statement: 6 values each, of the 32,766 that SQLite allows. */
const BATCH = 2000
/** Beyond it the oldest are given up: a store that cannot be written must not fill the memory. */
const MOST_WAITING = 100_000

type Waiting = Omit<Row<'points'>, 'id'>

/** Opens the points of a run; `written` is called after each batch. */
export function openPoints(
  run: string,
  { database, log, now }: Pick<Context, 'database' | 'log' | 'now'>,
  { written = () => {}, every_ms = EVERY_MS }: { written?: () => void; every_ms?: number } = {},
): Points {
  const waiting: Waiting[] = []
  let lost = 0
  let closed = false
  let writing: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined

  async function write(): Promise<void> {
    while (waiting.length) {
      const batch = waiting.slice(0, BATCH)
      await database.transaction().execute(async transaction => {
        await transaction.insertInto('points').orReplace().values(batch).execute()
      })
      waiting.splice(0, batch.length)
      written()
    }
  }

  /** One writer at a time; what fails stays for the next. */
  const flush = (): Promise<void> => {
    writing ??= write().finally(() => {
      writing = undefined
      arm()
    })
    return writing
  }

  /** What waits is written in a moment, also after a write that was slow or failed: the store may be locked for a while. */
  function arm(): void {
    if (closed || !waiting.length) return
    timer ??= setTimeout(() => {
      timer = undefined
      flush().catch(error => log.debug(`points of run ${run} are not written yet: ${messageOf(error)}`))
    }, every_ms).unref()
  }

  return {
    take(points) {
      if (closed) return
      const at = now()
      for (const { series, name, step, value } of points)
        if (Number.isSafeInteger(step))
          waiting.push({ run, series, name, step, value: Number.isFinite(value) ? value : null, at })
        else lost++
      // What a write holds in its hand stands first and is not touched.
      if (!writing && waiting.length > MOST_WAITING) lost += waiting.splice(0, waiting.length - MOST_WAITING).length
      arm()
    },
    async close() {
      closed = true
      clearTimeout(timer)
      try {
        await writing?.catch(() => {})
        await flush()
      } catch (error) {
        lost += waiting.length
        log.debug(`points of run ${run} are not written: ${messageOf(error)}`)
      }
      if (lost) log.warn(`POINTS_LOST: the store could not take ${lost} measured points of run ${run}`)
    },
  }
}

export interface SeriesSummary {
  series: string
  name: string
  points: number
  /** The highest step, and the value there. */
  step: number
  last: number | null
  min: number | null
  max: number | null
}

/** Each measured quantity of a run in a line. */
export async function summarisePoints(run: string, database: Database): Promise<SeriesSummary[]> {
  return database
    .selectFrom(eb =>
      eb
        .selectFrom('points')
        .where('run', '=', run)
        .groupBy(['series', 'name'])
        .select(({ fn }) => [
          'series',
          'name',
          fn.countAll<number>().as('points'),
          fn.max('step').as('step'),
          fn.min('value').as('min'),
          fn.max('value').as('max'),
        ])
        .as('each'),
    )
    .innerJoin('points as end', join =>
      join
        .on('end.run', '=', run)
        .onRef('end.series', '=', 'each.series')
        .onRef('end.name', '=', 'each.name')
        .onRef('end.step', '=', 'each.step'),
    )
    .select(['each.series', 'each.name', 'each.points', 'each.step', 'end.value as last', 'each.min', 'each.max'])
    .orderBy('each.series')
    .orderBy('each.name')
    .execute()
}

/** Points of a run in the order in which they came, those after `after` only. */
export async function readPoints(
  run: string,
  database: Database,
  { after = 0, limit = 1000 } = {},
): Promise<Row<'points'>[]> {
  return database
    .selectFrom('points')
    .selectAll()
    .where('run', '=', run)
    .where('id', '>', after)
    .orderBy('id')
    .limit(limit)
    .execute()
}
