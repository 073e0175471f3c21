// A simulated series with a signal that two quick candidates find, and that passes its gates.
export const PLANTED = `name: planted
data:
  source: { kind: simulated, bars: 1500, seed: 7, signal: { strength: 0.9 } }
  timeframe: 1d
features: [{ kind: roc, n: [1, 3, 10] }, { kind: rsi, n: 14 }, { kind: bb, n: 20 }]
label: { kind: direction, horizon: 3 }
split: { kind: holdout }
models:
  - { kind: logistic }
  - { kind: lightgbm, params: { n_estimators: 30 } }
thresholds: { from: 0.5, to: 0.6, steps: 3 }
backtest: { fee: 0.0002, periods_per_year: 365 }
gates: { sharpe: "> 0", trades: ">= 5" }
`

export const STAGES = ['ingest', 'build', 'dataset', 'train', 'select', 'gate', 'register', 'deploy']
