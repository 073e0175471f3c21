// What is measured, and what is claimed of it. A measurement gives rounds of samples; a figure is made of all of them.
import { quantile } from '../dist/base/statistics.js'

const median = values => quantile(values, 0.5)

/** Median, smallest and largest of a sample. */
const of = name => rounds => {
  const values = rounds.map(round => round[name])
  return { value: median(values), from: Math.min(...values), to: Math.max(...values) }
}

/** Ratio of two medians, with the smallest and largest ratio of one round. */
const ratio = (a, b) => rounds => {
  const each = rounds.map(round => round[a] / round[b])
  return { value: of(a)(rounds).value / of(b)(rounds).value, from: Math.min(...each), to: Math.max(...each) }
}

/** Means instead of medians, where every round has another seed and few can be paid for. */
const mean = values => values.reduce((sum, value) => sum + value, 0) / values.length
const meanOf = name => rounds => ({ ...of(name)(rounds), value: mean(rounds.map(round => round[name])) })
const meanRatio = (a, b) => rounds => ({
  ...ratio(a, b)(rounds),
  value: meanOf(a)(rounds).value / meanOf(b)(rounds).value,
})

/** A figure of the CNN-LSTM job on both sides. */
const both = (claim, name, unit) => [
  { claim: `${claim}: Sluice`, figure: meanOf(`sluice ${name}`), unit },
  { claim: `${claim}: PyTorch script`, figure: meanOf(`peer ${name}`), unit },
]

/**
 * `module` is measured in a process of its own; with `peers` it is given the Python that has them.
 * A claim is held to `most` or `least`; one without a bound is a plain figure. A `long` one takes minutes to tell one figure.
 */
export const BENCHMARKS = [
  {
    name: 'grid',
    title: 'The grid: 16 models × 10 thresholds on 2,202 rows × 50 features',
    method:
      'The whole run (ingest, build, dataset, 16 fits on the last fold, selection, gate, refit, export, parity, signature, report) of a simulated series never seen before, in a process whose engine has imported its libraries. CPU is that of all fits, the two exported ones included. Outside the fits is the time in which no engine process was at work. Memory is the largest resident size of Node and of each engine process, added up.',
    claims: [
      { claim: 'wall time ÷ (1.2 × CPU of the fits ÷ cores + 2 s)', figure: ratio('wall', 'allowed'), most: 1 },
      { claim: 'outside the fits', figure: of('outside'), unit: 's', most: 1 },
      { claim: 'peak memory', figure: of('memory'), unit: 'GB', most: 2.8 },
      { claim: 'wall time', figure: of('wall'), unit: 's' },
      { claim: 'CPU of the fits', figure: of('cpu'), unit: 's' },
    ],
  },
  {
    name: 'features',
    peers: true,
    title: '20 features on 1,000,000 rows',
    method:
      'One column of each of 20 indicators from candles in memory, one thread, float64 on all sides, compiled code warm. pandas is written as usual: rolling, ewm and, where it has no function (wma, cci, aroon), rolling.apply(raw=True). Tuned pandas does those three by NumPy over strided windows.',
    claims: [
      { claim: 'time ÷ TA-Lib (C)', figure: ratio('sluice', 'TA-Lib'), most: 2.5 },
      { claim: 'pandas ÷ time', figure: ratio('pandas', 'sluice'), least: 2.5 },
      { claim: 'largest relative difference from TA-Lib', figure: of('difference'), most: 1e-9 },
      { claim: 'largest relative difference from pandas', figure: of('pandas difference'), most: 1e-6 },
      { claim: 'Sluice', figure: of('sluice'), unit: 's' },
      { claim: 'TA-Lib', figure: of('TA-Lib'), unit: 's' },
      { claim: 'pandas', figure: of('pandas'), unit: 's' },
      { claim: 'tuned pandas', figure: of('tuned pandas'), unit: 's' },
      { claim: 'tuned pandas ÷ time', figure: ratio('tuned pandas', 'sluice') },
    ],
  },
  {
    name: 'symbols',
    title: '20 features of 20 symbols with 100,000 minutes each',
    method:
      'The default set on 2,000,000 rows in memory, in one thread and in one for each core (two here), threads and code warm; the columns are compared bit for bit.',
    claims: [
      { claim: 'one thread ÷ all cores', figure: ratio('one', 'all'), least: 1.7 },
      { claim: 'one thread', figure: of('one'), unit: 's' },
      { claim: 'all cores', figure: of('all'), unit: 's' },
    ],
  },
  {
    name: 'backtest',
    peers: true,
    title: '160 backtests of 2,202 bars',
    method:
      'The same signals, fills at the next open, fees and slippage on both sides; eight figures of each backtest (vectorbt computes no more than these, Sluice twelve). Compiled code is warm on both sides. The differences are over all 160 combinations.',
    claims: [
      { claim: 'vectorbt ÷ time', figure: ratio('vectorbt', 'sluice'), least: 15 },
      { claim: 'largest difference of a total return', figure: of('return difference'), most: 1e-9 },
      { claim: 'largest difference of any of the eight figures', figure: of('difference'), most: 1e-6 },
      { claim: 'Sluice', figure: of('sluice'), unit: 's' },
      { claim: 'vectorbt', figure: of('vectorbt'), unit: 's' },
    ],
  },
  {
    name: 'ingest',
    peers: true,
    title: '1,000,000 CSV rows to a checked table',
    method:
      'Both read the same file, drop exact duplicates, set bad rows aside, look for conflicts, order and gaps, and write Parquet; their counts must be equal. Sluice also takes digests of source, content and file, writes a manifest and syncs all of it to the disk.',
    claims: [
      { claim: 'time ÷ pandas', figure: ratio('sluice', 'pandas'), most: 1.6 },
      { claim: 'Sluice', figure: of('sluice'), unit: 's' },
      { claim: 'pandas', figure: of('pandas'), unit: 's' },
    ],
  },
  {
    name: 'large',
    title: 'Files of any size',
    method:
      'One-second candles as CSV, each ingest in a process of its own: one and ten million rows in turn, then one file of 5 GB or a quarter of the free disk. Memory is the largest resident size of that last process.',
    claims: [
      { claim: '10,000,000 rows ÷ 1,000,000 rows', figure: ratio('large', 'small'), most: 12 },
      { claim: 'memory for the largest file', figure: of('memory'), unit: 'GB', most: 1 },
      { claim: 'size of the largest file', figure: of('bytes'), unit: 'GB' },
      { claim: 'its ingest', figure: of('huge'), unit: 's' },
    ],
  },
  {
    name: 'etth1',
    long: true,
    title: 'ETTh1, 96 hours ahead, by the protocol of PatchTST',
    method:
      'examples/etth1: seven channels, 336 hours read, 12/4/4 months, scaled by the training months, the weights with the best validation loss, errors over all 2,785 windows of the test part. The paper (Nie et al. 2023, PatchTST/42) has an MSE of 0.375 and an MAE of 0.399. Parity is between the network and its ONNX graph, relative above 1 and above the deviation of a channel.',
    claims: [
      { claim: 'MSE', figure: of('mse'), most: 0.38 },
      { claim: 'MAE', figure: of('mae'), most: 0.405 },
      { claim: 'parity', figure: of('parity'), most: 1e-5 },
      { claim: 'MSE of the last value', figure: of('naive_mse') },
      { claim: 'MAE of the last value', figure: of('naive_mae') },
      { claim: 'epoch with the best validation loss', figure: of('iterations') },
      { claim: 'CPU', figure: of('cpu_minutes'), unit: 'min' },
    ],
  },
  {
    name: 'parity',
    title: 'Native model = ONNX in Python = ONNX in Node',
    method:
      'Largest difference of a probability over the validation and test rows of a run of each family, with a feature that is missing in half of the rows.',
    claims: [
      { claim: 'logistic', figure: of('logistic'), most: 1e-5 },
      ...['random_forest', 'xgboost', 'lightgbm', 'catboost'].map(kind => ({
        claim: kind,
        figure: of(kind),
        most: 1e-6,
      })),
    ],
  },
  {
    name: 'serving',
    title: 'Predictions over HTTP',
    method:
      'A registered LightGBM of 20 features behind `sluice serve`; the clients share the cores with it and keep their connections open.',
    claims: [
      { claim: '1 connection: median latency', figure: of('alone p50'), unit: 'ms' },
      { claim: '1 connection: 99th percentile', figure: of('alone p99'), unit: 'ms' },
      { claim: '32 connections: predictions', figure: of('many rate'), unit: '/s' },
      { claim: '32 connections: median latency', figure: of('many p50'), unit: 'ms' },
      { claim: '32 connections: 99th percentile', figure: of('many p99'), unit: 'ms' },
      { claim: '4 connections, 100 rows a request: predictions', figure: of('batch rate'), unit: '/s' },
    ],
  },
  {
    name: 'trainer',
    long: true,
    title: 'What training costs beside the network',
    method:
      'PatchTST with 1,987,522 parameters (`configs/model/patchtst_2m.yaml`), one epoch in batches of 8 rows, by the metrics of the fit: a step is batch, forward, backward and optimizer, and what is done before the next one (progress, checkpoints). Other is what is none of forward, backward and optimizer; data is the wait for a batch.',
    claims: [
      { claim: 'other ÷ step', figure: of('other'), most: 0.05 },
      { claim: 'wait for data ÷ step', figure: of('data'), most: 0.01 },
      { claim: 'step', figure: of('step'), unit: 's' },
    ],
  },
  {
    name: 'replaced',
    long: true,
    title: 'Attention, optimizer and batches beside plain PyTorch',
    method:
      'On a CPU, one thread. A step of `configs/model/patchtst_2m.yaml` with 16 rows: attention written out or by `scaled_dot_product_attention`; AdamW parameter by parameter or fused. An epoch of batches of 256 windows of 120 minutes from 43,200 rows of 20 features: copies of all windows in a DataLoader, or views of the rows gathered by a thread.',
    claims: [
      { claim: 'forward and backward, attention written out ÷ SDPA', figure: ratio('eager', 'sdpa') },
      { claim: 'AdamW by parameter ÷ fused', figure: ratio('loop', 'fused') },
      { claim: 'epoch of batches, DataLoader ÷ ours', figure: ratio('loader', 'mapped') },
      { claim: 'forward and backward', figure: of('sdpa'), unit: 'ms' },
      { claim: 'AdamW', figure: of('fused'), unit: 'ms' },
      { claim: 'epoch of batches', figure: of('mapped'), unit: 'ms' },
      { claim: 'windows of the DataLoader', figure: of('loader bytes'), unit: 'MB' },
      { claim: 'rows of ours', figure: of('mapped bytes'), unit: 'MB' },
    ],
  },
  {
    name: 'int8',
    long: true,
    title: 'PatchTST in 8 bits',
    method:
      '`configs/model/patchtst_2m.yaml` trained for four epochs on simulated candles with a planted signal, exported as it is and with `int8: true`. The loss is that of the rows it was trained on; time and size are those of the graph in onnxruntime-node, one thread, row by row as it is served.',
    claims: [
      { claim: 'loss in 8 bits ÷ loss in float32, less 1', figure: of('change'), most: 0.01 },
      { claim: 'parity of the graph in 8 bits', figure: of('parity'), most: 1e-5 },
      { claim: 'float32 ÷ time of an answer', figure: ratio('float32', 'int8') },
      { claim: 'size of the file ÷ float32', figure: of('size') },
      { claim: 'an answer in float32', figure: of('float32'), unit: 'ms' },
      { claim: 'an answer in 8 bits', figure: of('int8'), unit: 'ms' },
      { claim: 'loss in float32', figure: of('float32 loss') },
      { claim: 'loss in 8 bits', figure: of('int8 loss') },
    ],
  },
  {
    name: 'gpu',
    long: true,
    title: 'PatchTST at three sizes on a GPU',
    method:
      'Forward, backward and optimizer of `configs/model/patchtst_*.yaml` on 20 features, in batches from 8 on until the memory ends, by `sluice batch-size`; the rate is that of the largest.',
    claims: ['2M', '20M', '200M'].flatMap(size => [
      { claim: `${size}: largest batch`, figure: of(`${size} batch`) },
      { claim: `${size}: rows of it`, figure: of(`${size} rate`), unit: '/s' },
      { claim: `${size}: memory with 8 rows`, figure: of(`${size} memory`), unit: 'GB' },
    ]),
  },
  {
    name: 'cnn_lstm',
    long: true,
    title: 'The CNN-LSTM job: 30 days of minutes, 120 at a time',
    method:
      '43,200 simulated candles in a CSV file; open, high, low, close, volume, three averages and the RSI; the return of the next minute is learned from the first 80 % and predicted for the same last rows by both. Figures are means over rounds, each with candles and weights of its own seed. Layers have the same widths on both sides, and a batch has 256 rows. The PyTorch script is as it is usually written: pandas, a min-max scaler for each column, a copy of each window, two convolutions with pooling, two LSTM layers, Adam at 0.001, ReduceLROnPlateau, at most 50 epochs and a patience of 15 on the validation rows, of which the best epoch is kept; it sees these rows while it trains, ours does not. Ours is `sluice run`: `cnn_lstm` without batch norm, one cycle up to 0.003 in 6 epochs, chosen on the candles of another seed. Each is a process of its own, measured from its start to its end, with one thread. The loss is the MSE of the returns as a share of their variance in training; RMSE and MAPE are of the prices that the returns mean. Training ends with the predictions of all rows with us; export is the whole stage that exports, compares both halves and judges.',
    claims: [
      { claim: 'script ÷ time', figure: meanRatio('peer total', 'sluice total'), least: 2.5 },
      { claim: 'validation loss ÷ script', figure: meanRatio('sluice loss', 'peer loss'), most: 1.02 },
      { claim: 'RMSE ÷ script', figure: meanRatio('sluice rmse', 'peer rmse'), most: 1.02 },
      { claim: 'MAPE ÷ script', figure: meanRatio('sluice mape', 'peer mape'), most: 1.02 },
      ...both('total', 'total', 's'),
      { claim: 'total: Sluice with two threads', figure: meanOf('two threads'), unit: 's' },
      ...both('ingest', 'ingest', 's'),
      ...both('features', 'features', 's'),
      ...both('windows', 'windows', 's'),
      ...both('training', 'training', 's'),
      ...both('epochs', 'epochs'),
      ...both('an epoch', 'epoch', 's'),
      ...both('export', 'export', 's'),
      ...both('peak memory', 'memory', 'GB'),
      ...both('validation loss', 'loss'),
      ...both('RMSE', 'rmse'),
      ...both('MAPE', 'mape', '%'),
    ],
  },
  {
    name: 'startup',
    title: 'Start of a command',
    method: 'From the start of the process to its end; files are in the page cache.',
    claims: [
      { claim: 'sluice --help', figure: of('help'), unit: 's' },
      { claim: 'sluice doctor', figure: of('doctor'), unit: 's' },
    ],
  },
]

/** The figures of a measurement, each with its verdict (undefined where nothing is claimed). */
export const judge = ({ claims }, rounds) =>
  claims.map(({ claim, figure, unit = '', most, least }) => {
    const { value, from, to } = figure(rounds)
    const pass = most !== undefined ? value <= most : least !== undefined ? value >= least : undefined
    return { claim, unit, most, least, value, from, to, pass }
  })
