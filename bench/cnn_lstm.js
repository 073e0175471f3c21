// The CNN-LSTM job: 30 days of minutes to a trained network and its ONNX file, `sluice run` beside a plain PyTorch script, each side in a process of its own.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { enginePython } from '../dist/context.js'
import { readCandles, readColumns, writeTable } from '../dist/data/files.js'
import { ingest } from '../dist/data/ingest.js'
import { loadTable } from '../dist/data/tables.js'
import { configure, inFolder, inHome, writeConfig } from './home.js'
import { openPeer } from './peer.js'

const ROUNDS = 5
const MINUTES = 30 * 24 * 60
const MIB = 2 ** 20
const SLUICE = join(import.meta.dirname, '../bin/sluice')
/** What both sides have alike. */
const SHARED = { context: 120, filters: [16, 32], kernel: 3, hidden: 32, dense: [32], dropout: 0.1, batch_size: 256 }
/** Chosen on the candles of another seed (100), which no round reads. */
const OURS = { kind: 'cnn_lstm', params: { batch_norm: false, learning_rate: 0.003, epochs: 6, patience: null } }
const THREADS = 1

export const measure = () =>
  inFolder(async folder => {
    const rounds = []
    let versions
    for (let seed = 1; seed <= ROUNDS; seed++) {
      const csv = join(folder, `${seed}.csv`)
      await writeCandles(csv, seed)
      const ours = await runSluice(csv, { folder: join(folder, 'sluice'), seed, threads: THREADS })
      const theirs = await runPeer(csv, { folder: join(folder, 'peer'), seed, threads: THREADS })
      const two = await runSluice(csv, { folder: join(folder, 'two'), seed, threads: 2 })
      if (theirs.time.length !== ours.time.length || theirs.time.some((time, i) => time !== ours.time[i]))
        throw new Error(`not the same validation rows: ${ours.time.length} and ${theirs.time.length}`)
      const candles = await readCandles(csv)
      versions = theirs.versions
      const round = {
        ...named('sluice', { ...ours.figures, ...errors(ours, candles) }),
        ...named('peer', { ...theirs.figures, ...errors(theirs, candles) }),
        'two threads': two.figures.total,
      }
      console.error(`round ${seed}: ${JSON.stringify(round)}`) // a round takes minutes
      rounds.push(round)
    }
    return { rounds, versions }
  })

/** Prices that return to a slow random walk: a tenth of the next minute's variance can be known. */
const writeCandles = (path, seed) =>
  inHome(async context => {
    const source = { kind: 'simulated', bars: MINUTES, seed, volatility: 0.6, signal: { strength: 0.99 } }
    const label = { kind: 'direction', horizon: 1 }
    const { config } = configure(context.home, { name: 'candles', data: { source, timeframe: '1m' }, label })
    const { table, version } = await ingest(config.data, context)
    await writeTable((await loadTable(table, version, context)).table, path)
  })

const job = (csv, seed, threads) => ({
  name: 'cnn-lstm',
  seed,
  task: 'regression',
  data: { source: { kind: 'file', path: csv }, timeframe: '1m' },
  features: [
    ...['open', 'high', 'low', 'close', 'volume'].map(name => ({ kind: 'column', name })),
    { kind: 'sma', n: [7, 14, 30] },
    { kind: 'rsi', n: 14 },
  ],
  label: { kind: 'forward_return', horizon: 1 },
  split: { kind: 'holdout', ratios: [0.8, 0.2] },
  models: [{ kind: OURS.kind, params: { ...listed(SHARED), ...OURS.params, threads } }],
  gates: {},
  refit: 'none',
})

/** In a grid a list that is one value stands in a list. */
const listed = params =>
  Object.fromEntries(Object.entries(params).map(([name, value]) => [name, Array.isArray(value) ? [value] : value]))

/** `sluice run` in a new home, from the start of the process to its end. */
async function runSluice(csv, { folder, seed, threads }) {
  mkdirSync(folder)
  const config = writeConfig(folder, job(csv, seed, threads))
  const from = performance.now()
  const child = spawn(SLUICE, ['run', '-c', config, '--home', folder, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] })
  let [output, said] = ['', '']
  child.stdout.on('data', text => (output += text))
  child.stderr.on('data', text => (said += text))
  const [code] = await once(child, 'close')
  const total = (performance.now() - from) / 1000
  if (code !== 0) throw new Error(`sluice run ended with ${code}: ${said}`)
  const { stages, files } = JSON.parse(output)
  const seconds = Object.fromEntries(stages.map(stage => [stage.name, stage.seconds]))
  const memory = (Math.max(...stages.map(stage => stage.peak_memory_mb)) * MIB) / 1e9
  const epochs = historyOf(folder).epochs
  const figures = {
    total,
    ingest: seconds.ingest,
    features: seconds.build,
    windows: seconds.dataset,
    training: seconds.train,
    export: seconds.gate,
    memory,
    epochs: epochs.length,
    epoch: epochs.reduce((sum, epoch) => sum + epoch.seconds, 0) / epochs.length,
  }
  const { columns } = await readColumns(files.predictions)
  const [time, predicted] = ['time', 'p'].map(name => columns.find(column => column.name === name).values)
  rmSync(folder, { recursive: true })
  return { figures, time, predicted }
}

/** How the network of a home was trained; the fit that exports it has the same history. */
function historyOf(home) {
  const fits = join(home, 'cache', 'fits')
  return JSON.parse(readFileSync(join(fits, readdirSync(fits)[0], 'history.json'), 'utf8'))
}

/** The script, from the start of its process to its answer. */
async function runPeer(csv, { folder, seed, threads }) {
  mkdirSync(folder)
  const from = performance.now()
  const given = JSON.stringify({ ...SHARED, seed, threads })
  const peer = await openPeer(enginePython(process.env), 'cnn_lstm', [csv, folder, given])
  const { result } = await peer.ask('train')
  const total = (performance.now() - from) / 1000
  await peer.close()
  const [time, predicted] = ['times', 'predicted'].map(name => {
    const { buffer, byteOffset, length } = readFileSync(join(folder, `${name}.f64`))
    return new Float64Array(buffer.slice(byteOffset, byteOffset + length))
  })
  const { seconds, memory, epochs } = result
  rmSync(folder, { recursive: true })
  return {
    figures: { total, ...seconds, memory, epochs, epoch: seconds.training / epochs },
    versions: peer.versions,
    time,
    predicted,
  }
}

/** Of predicted returns: their MSE as a share of the variance in training, RMSE and MAPE (%) of the prices that they mean. */
function errors({ time, predicted }, { columns }) {
  const [times, close] = ['time', 'close'].map(name => columns.find(column => column.name === name).values)
  const first = times.indexOf(time[0])
  const seen = Array.from({ length: first - 1 }, (_, row) => close[row + 1] / close[row] - 1)
  const mean = seen.reduce((sum, value) => sum + value, 0) / seen.length
  const variance = seen.reduce((sum, value) => sum + (value - mean) ** 2, 0) / seen.length
  let [loss, square, share] = [0, 0, 0]
  for (const [i, value] of predicted.entries()) {
    const [now, next] = [close[first + i], close[first + i + 1]]
    const miss = now * (1 + value) - next
    loss += (value - (next / now - 1)) ** 2
    square += miss ** 2
    share += Math.abs(miss) / next
  }
  const n = predicted.length
  return { loss: loss / n / variance, rmse: Math.sqrt(square / n), mape: (100 * share) / n }
}

const named = (side, figures) =>
  Object.fromEntries(Object.entries(figures).map(([name, value]) => [`${side} ${name}`, value]))
