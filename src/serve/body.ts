// What a body asks of a model: rows by themselves, whole sequences, or rows of a key that the server keeps. Knows no HTTP.
import { SluiceError } from '../base/errors.ts'
import type { Served } from './live.ts'
import { answers, type Prediction, type Problem, vectorise, vectoriseSequences } from './predict.ts'

/** One of `rows`, `sequence` and `sequences`; `key` names the window that `rows` are pushed to. */
export interface PredictBody {
  model?: string
  rows?: unknown[]
  sequence?: unknown[]
  sequences?: unknown[]
  key?: string
}

/** Where a pushed row has no answer: how many more rows its key needs. */
export interface WarmingUp {
  code: 'WARMING_UP'
  missing: number
}

export interface Answered {
  /** One for each row or sequence, in order. */
  predictions: (Prediction | WarmingUp)[]
  /** Those of them that are no warming up. */
  answered: number
}

/** Errors: those of the rows, `KEY_REQUIRED`, `NO_SEQUENCE_MODEL`, `OVERLOADED`, `EARLIER_PUSH_FAILED`, and `WARMING_UP` where rows were kept and none of them has an answer yet. */
export async function answerBody(served: Served, body: PredictBody): Promise<Answered> {
  const { manifest, run, windows } = served
  const predict = async (features: Float32Array, count: number) => answers(manifest, await run(features, count))
  const { rows, key } = body
  if (!rows) {
    const whole = body.sequence ? '/sequence' : '/sequences'
    if (!windows) throw refused('NO_SEQUENCE_MODEL', whole, 'this model answers each row by itself: send rows')
    const sequences = body.sequences ?? [body.sequence]
    const at = (i: number) => (body.sequence ? whole : `${whole}/${i}`)
    return all(await predict(vectoriseSequences(manifest, sequences, at), sequences.length))
  }
  if (!windows) return all(await predict(vectorise(manifest, rows), rows.length))
  const { length = 1 } = manifest.input
  if (key === undefined)
    throw refused(
      'KEY_REQUIRED',
      '/key',
      `this model reads ${length} rows: send a sequence, or a key to keep rows under`,
    )
  const { before, answers: found } = await windows.push(key, vectorise(manifest, rows), predict)
  const total = before + rows.length
  if (!found.length) throw warmingUp(length - total, total)
  const lacking = Array.from({ length: rows.length - found.length }, (_, i): WarmingUp => {
    return { code: 'WARMING_UP', missing: length - (before + i + 1) }
  })
  return { predictions: [...lacking, ...found], answered: found.length }
}

const all = (predictions: Prediction[]): Answered => ({ predictions, answered: predictions.length })

const refused = (code: Problem['code'], pointer: string, message: string) =>
  new SluiceError('data', code, message, { detail: { problems: [{ code, pointer, message }] } })

const warmingUp = (missing: number, kept: number) =>
  new SluiceError('data', 'WARMING_UP', `the rows are kept: ${kept} of this key now, ${missing} more to an answer`, {
    detail: { missing },
  })
