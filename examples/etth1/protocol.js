// ETTh1 as the papers on long-term forecasting use it (Zhou et al. 2021; Nie et al. 2023): hours of seven channels, parts of 12, 4 and 4 months of 30 days. Plain data: reads and writes nothing.

export const CONTEXT = 336
export const HORIZON = 96
export const SEED = 2021
const MONTH = 30 * 24
/** The hours that the training, validation and test parts end before. */
const [TRAIN, VALID, TEST] = [12 * MONTH, 16 * MONTH, 20 * MONTH]

/**
 * The hours of all parts, row-major, and a sample for each hour that a window can end with. A part has the samples whose whole horizon lies in it;
 * validation and test windows may begin before their part. The test part has 2,785 samples: none is dropped for filling no batch.
 */
export function protocol(csv) {
  const [head, ...lines] = csv.trim().split(/\r?\n/)
  const features = head.split(',').slice(1)
  const values = Float32Array.from(lines.slice(0, TEST).flatMap(line => line.split(',').slice(1).map(Number)))
  const first = CONTEXT - 1
  const ends = Uint32Array.from({ length: TEST - HORIZON - first }, (_, i) => first + i)
  const part = (from, to) => [[from - 1 - first, to - HORIZON - first]]
  const rows = { train: part(CONTEXT, TRAIN), stop: part(TRAIN, VALID), predict: part(VALID, TEST) }
  return { features, values, ends, rows }
}

/** What the engine is asked: `hours` and `samples` are the Arrow files of values (a column of lists) and of ends (`at`). */
export const request = ({ features, rows }, { hours, samples, digest, out }, { kind, params }) => ({
  dataset: {
    digest,
    path: samples,
    features,
    task: 'forecast',
    forecast: { horizon: HORIZON, of: features },
    sequence: { path: hours, at: 'at' },
  },
  model: { kind, params, seed: SEED },
  rows,
  out,
})
