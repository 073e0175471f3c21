// How a fit that learns in epochs came to its end, for the report: what it wrote beside its model.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Fit } from '../learn/train.ts'
import { drawHistory, type Epoch } from './charts.ts'
import { count, drawn, figure, type Html, html, section } from './page.ts'

/** The artefact of a fit that holds its epochs. */
const FILE = 'history.json'

/** The epochs of a fit; null where it has none. */
export function historyOf({ folder, artefacts }: Pick<Fit, 'folder' | 'artefacts'>): Epoch[] | null {
  if (!artefacts.some(({ name }) => name === FILE)) return null
  const { epochs } = JSON.parse(readFileSync(join(folder, FILE), 'utf8')) as { epochs: Epoch[] }
  return epochs.length ? epochs : null
}

/** The section of the report. */
export function describeHistory(epochs: Epoch[] | null | undefined): Html | null {
  if (!epochs?.length) return null
  const best = lowestStop(epochs)
  const last = epochs.at(-1)!
  const seconds = epochs.reduce((total, epoch) => total + epoch.seconds, 0)
  const held = best
    ? ` That of the rows held out was lowest, ${figure(best.stop_loss)}, in epoch ${figure(best.epoch)}.`
    : ''
  const says = `${count(epochs.length, 'epoch')} in ${figure(seconds < 10 ? seconds : Math.round(seconds), 1)} s: the training loss went from ${figure(epochs[0].train_loss)} to ${figure(last.train_loss)}.${held}`
  return section(
    'history',
    'Learning curve',
    'The loss of the proven fit by epoch. Look for two lines that fall together. Held out are the training rows that say when to stop: where their loss rises while that of the others falls, the model learns by heart.',
    epochs.length > 1
      ? drawn(drawHistory(epochs), 'Lines: loss and learning rate by epoch.', says)
      : html`<p>${says}</p>`,
  )
}

/** The first epoch with the lowest loss of the rows that stop a fit, where there are any. */
export function lowestStop(epochs: Epoch[]): Epoch | undefined {
  const known = epochs.filter(({ stop_loss }) => stop_loss !== null)
  return known.reduce<Epoch | undefined>(
    (low, epoch) => (low && low.stop_loss! <= epoch.stop_loss! ? low : epoch),
    undefined,
  )
}
