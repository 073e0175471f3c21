// Rows from an Arrow file (Feather V2).
import { type ArrowField, scanArrow } from '../../base/arrow.ts'
import { KIND } from '../timestamp.ts'
import { type TypedColumn, typed } from './typed.ts'

/** Errors: those of base/arrow.ts. */
export const arrow = typed(async path => {
  const { fields, batches, close } = await scanArrow(path)
  return { columns: fields.map(columnOf), batches, close }
})

const KINDS = { instant: KIND.instant, naive: KIND.naive, date: KIND.date }

function columnOf({ name, type, stored }: ArrowField): TypedColumn {
  if (type === 'number' || type === 'string') return { name, type, stored }
  return { name, type: 'time', kind: KINDS[type], stored }
}
