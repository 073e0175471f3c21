import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { loadConfig } from '../src/config.ts'
import { put, temporaryFolder } from './temporary.ts'

const SMALLEST = `data:
  source: { kind: simulated, bars: 500 }
label: { kind: touch, horizon: 5, threshold: 0.01 }
`

const load = (text: string, overrides: string[] = [], name = 'market.yaml') =>
  loadConfig(put(temporaryFolder(), name, text), overrides).config

/** The problems of a text, the folder of the file left out. */
function problems(text: string, overrides: string[] = []): string[] {
  const folder = temporaryFolder()
  try {
    loadConfig(put(folder, 'f.yaml', text), overrides)
  } catch (error) {
    expect(error).toMatchObject({ name: 'SluiceError', fault: 'usage', exit: 2 })
    return (error as Error).message.split('\n').map(line => line.replaceAll(`${folder}/`, ''))
  }
  return []
}

const ofTable = (schema: string): string =>
  SMALLEST.replace('data:', `data:\n  schema: ${schema}`).replace(/^label.*/m, 'label: { kind: column, name: a }')
const withKey = (text: string): string => `${SMALLEST}${text}\n`

describe('loadConfig', () => {
  it('takes a file with data and label only, and writes every default out', () => {
    expect(load(SMALLEST)).toMatchObject({
      name: 'market',
      seed: 42,
      task: 'binary',
      data: { table: 'market', schema: 'candles', on_bad_row: 'quarantine' },
      features: [{ kind: 'set', name: 'stationary_20' }],
      label: { kind: 'touch', horizon: 5, threshold: 0.01 },
      split: { kind: 'walk_forward', ratios: [0.7, 0.15, 0.15], folds: 5, window: 'expanding', embargo: 0 },
      models: [{ kind: 'preset', name: 'grid_16' }],
      thresholds: { from: 0.3, to: 0.75, steps: 10 },
      select: { by: 'sharpe' },
      backtest: { fill: 'next_open', mode: 'long', fee: 0, slippage: 0 },
      gates: {
        sharpe: '> 1.0',
        max_drawdown: '< 0.30',
        win_rate: '> 0.50',
        trades: '>= 20',
        probabilistic_sharpe: '> 0.95',
        excess_sharpe_probability: '> 0.90',
      },
      refit: 'all',
      deploy: 'auto',
    })
  })

  it('has a sensor file where the config says, and none that is not there', () => {
    const folder = temporaryFolder()
    const sensor = put(folder, 'temp', '40000')
    const text = withKey('thermal: { sensor: temp, warn: 80 }')
    const { thermal } = loadConfig(put(folder, 'f.yaml', text)).config
    expect(thermal).toEqual({ enabled: true, poll: 5, acceptable: 70, warn: 80, stop: 95, sensor })
    expect(problems(text)).toEqual(['f.yaml:4:20: thermal.sensor: temp does not exist'])
    expect(problems(withKey('thermal: { warn: 96 }'))).toEqual(['f.yaml:4:10: thermal.stop: must be above warn'])
  })

  it('holds only the gates that are given', () => {
    expect(load(withKey('gates: { sharpe: "> 0.5" }')).gates).toEqual({ sharpe: '> 0.5' })
  })

  it.each([
    ['S&P 500 daily.yml', 's-p-500-daily'],
    ['-_x.yaml', 'x'],
    [`${'long'.repeat(30)}.yaml`, 'long'.repeat(16)],
    ['日本.yaml', 'model'],
  ])('takes its name from the file %s', (file, name) => {
    expect(load(SMALLEST, [], file).name).toBe(name)
  })

  it('makes paths absolute from the file, not from where the command was typed', () => {
    const folder = temporaryFolder()
    const csv = put(folder, 'a b/prices.csv', 'time,open,high,low,close,volume\n')
    const file = put(folder, 'f.yaml', SMALLEST.replace('simulated, bars: 500', 'file, path: a b/prices.csv'))
    expect(loadConfig(file).config.data.source).toMatchObject({ path: csv })
  })
})

describe('a problem', () => {
  it.each([
    [
      'an unknown key, with the nearest one',
      withKey('tresholds: { from: 0.5 }'),
      'f.yaml:4:1: unknown key tresholds; did you mean thresholds?',
    ],
    ['an unknown key that is near to none', withKey('zzz: 1'), 'f.yaml:4:1: unknown key zzz'],
    [
      'an unknown key deep down',
      withKey('backtest:\n  fee: 0.1\n  slipage: 0'),
      'f.yaml:6:3: unknown key backtest.slipage; did you mean slippage?',
    ],
    [
      'an unknown key like one of another level',
      withKey('thresold: 1'),
      'f.yaml:4:1: unknown key thresold; did you mean thresholds?',
    ],
    [
      'an unknown key in a flow map',
      withKey('split: { kind: holdout, fold: 3 }'),
      'f.yaml:4:25: unknown key split.fold; did you mean folds?',
    ],
    [
      'a model that is none',
      withKey('models: [{ kind: xgbost }]'),
      'f.yaml:4:18: models.0.kind: there is no xgbost; did you mean xgboost?',
    ],
    [
      'a feature that is none',
      withKey('features: [{ kind: smaa }]'),
      'f.yaml:4:20: features.0.kind: there is no smaa; did you mean sma?',
    ],
    [
      'a model without a kind',
      withKey('models: [{ params: {} }]'),
      /^f\.yaml:4:10: models\.0\.kind is missing; there are preset, /,
    ],
    [
      'a word that is like no other',
      withKey('deploy: tomorrow'),
      'f.yaml:4:9: deploy: there is no tomorrow; there are auto, manual',
    ],
    ['a wrong type', withKey('seed: many'), /^f\.yaml:4:7: seed: .*expected (number|int), received string/],
    [
      'a wrong type in a list',
      withKey('features:\n  - { kind: sma, n: [7, x] }'),
      /^f\.yaml:5:2[0-9]: features\.0\.n.*/,
    ],
    [
      'ratios that do not add up',
      withKey('split: { ratios: [0.7, 0.2] }'),
      'f.yaml:4:18: split.ratios: ratios must add up to 1, not 0.9',
    ],
    ['a number out of range', withKey('seed: -1'), /^f\.yaml:4:7: seed: .*>=0/],
    [
      'a secret in the address of a tracker',
      withKey('tracking: { mlflow: { url: "http://me:secret@host" } }'),
      'f.yaml:4:28: tracking.mlflow.url: holds a name or a password, which belong into the environment',
    ],
    ['an address that is no server', withKey('tracking: { mlflow: { url: "sqlite:///x" } }'), /^f\.yaml:4:28: .*URL/],
    ['a task that is none', withKey('task: ranking'), /^f\.yaml:4:7: task: /],
    ['a name that is none', withKey('name: ../x'), /^f\.yaml:4:7: name: /],
    ['a name with two points', withKey('name: a..b'), /^f\.yaml:4:7: name: .*holds no \.\.$/],
    ['a label that is none', SMALLEST.replace('touch', 'tuch'), /^f\.yaml:3:16: label\.kind: /],
    [
      'a column of ours that there is not',
      SMALLEST.replace('simulated, bars: 500', 'file, path: f.yaml, columns: { tim: date, volume: null }'),
      'f.yaml:2:50: data.source.columns.tim: no column of the table; did you mean time?',
    ],
    [
      'a column that is named twice',
      ofTable('[{ name: a }, { name: a }]'),
      /^f\.yaml:2:11: data\.schema: a column is named twice/,
    ],
    [
      'a range of nothing',
      ofTable('[{ name: a, min: 2, max: 1 }]'),
      /^f\.yaml:2:28: data\.schema\.0\.min: min is above max/,
    ],
    ['a missing key', SMALLEST.replace(/^label.*\n/m, ''), /^f\.yaml:1:1: label/],
    ['a missing key deep down', SMALLEST.replace('horizon: 5, ', ''), 'f.yaml:3:8: label.horizon is missing (number)'],
    ['a split that candles cannot have', withKey('split: { kind: stratified }'), /^f\.yaml:4:16: split\.kind: /],
    ['a gate on no figure', withKey('gates: { sharp: "> 1" }'), /^f\.yaml:4:17: gates\.sharp: .*did you mean sharpe/],
    ['a gate without a bound', withKey('gates: { sharpe: good }'), /^f\.yaml:4:18: gates\.sharpe: /],
    [
      'a model parameter that is none',
      withKey('models: [{ kind: xgboost, params: { max_deep: 3 } }]'),
      'f.yaml:4:37: unknown key models.0.params.max_deep; did you mean max_depth?',
    ],
    ['a source of no kind', SMALLEST.replace('simulated', 'oracle'), /^f\.yaml:2:19: data\.source\.kind: /],
    [
      'a file that is not there',
      SMALLEST.replace('simulated, bars: 500', 'file, path: none.csv'),
      'f.yaml:2:31: data.source.path: none.csv does not exist',
    ],
    [
      'a pattern that matches nothing',
      SMALLEST.replace('simulated, bars: 500', 'file, path: "none*.csv"'),
      'f.yaml:2:31: data.source.path: none*.csv matches no file',
    ],
    [
      'a folder without files to read',
      SMALLEST.replace('simulated, bars: 500', 'file, path: "."'),
      'f.yaml:2:31: data.source.path: . has no file of a known format',
    ],
    [
      'one of many files that is not there',
      SMALLEST.replace('simulated, bars: 500', 'file, paths: [f.yaml, none.csv]'),
      'f.yaml:2:41: data.source.paths.1: none.csv does not exist',
    ],
    [
      'long_short at a threshold that is both',
      withKey('backtest: { mode: long_short }'),
      'f.yaml:1:1: thresholds: under long_short every threshold must exceed 0.5, and 0.3 does not',
    ],
    [
      'long_short at 0.5 itself',
      withKey('backtest: { mode: long_short }\nthresholds: { from: 0.5, to: 0.7, steps: 3 }'),
      /^f\.yaml:5:13: thresholds: under long_short every threshold must exceed 0\.5, and 0\.5 does not/,
    ],
  ])('is named with its place: %s', (_, text, message) => {
    const found = problems(text)
    expect(found).toHaveLength(1)
    expect(found[0]).toEqual(typeof message === 'string' ? message : expect.stringMatching(message))
  })

  it('of the ratios is found beside another of the same section', () => {
    expect(problems(withKey('split: { kind: stratified, ratios: [0.7, 0.2, 0.2] }'))).toEqual([
      'f.yaml:4:36: split.ratios: ratios must add up to 1, not 1.1',
      'f.yaml:4:16: split.kind: stratified shuffles rows, and candles have an order in time',
    ])
  })

  it('does not hide the others', () => {
    expect(
      problems(`${SMALLEST}seeed: 1\nseed: x\nsplit: { ratios: [0.5, 0.4] }\ndeploy: later\n`)
        .map(line => line.split(': ')[0])
        .sort(),
    ).toEqual(['f.yaml:4:1', 'f.yaml:5:7', 'f.yaml:6:18', 'f.yaml:7:9'])
  })

  it.each([
    ['broken YAML', 'data: [1, 2\nlabel: 3\n', /^f\.yaml:2:1: /],
    ['a key twice', `${SMALLEST}seed: 1\nseed: 2\n`, /^f\.yaml:5:1: Map keys must be unique/],
    ['a list', '- 1\n', /^f\.yaml:1:1: a config is a map of keys/],
    ['a word', 'hello\n', /^f\.yaml:1:1: a config is a map of keys/],
    ['nothing', '', /^f\.yaml:1:1: a config is a map of keys/],
    ['only a comment', '# later\n', /^f\.yaml:1:1: a config is a map of keys/],
    ['a tab', 'data:\n\tsource: 1\n', /^f\.yaml:2:\d: /],
  ])('of the file itself: %s', (_, text, message) => {
    expect(problems(text)[0]).toMatch(message)
  })

  it('of aliases that would grow without bound is found before they do', () => {
    const levels = Array.from({ length: 12 }, (_, i) => `l${i + 1}: &l${i + 1} [${`*l${i}, `.repeat(9)}*l${i}]`)
    expect(problems(`l0: &l0 [x]\n${levels.join('\n')}\n`)[0]).toMatch(/^f\.yaml:1:1: .*alias/i)
  })

  it('of a file that is too large is found before it is read', () => {
    expect(problems(`# ${'x'.repeat(1 << 20)}\n${SMALLEST}`)[0]).toMatch(/^f\.yaml has 1048\d+ bytes/)
  })

  it('of a file that is not there says so', () => {
    expect(() => loadConfig('/nowhere/f.yaml')).toThrow(
      expect.objectContaining({ code: 'CONFIG_MISSING', exit: 2, next: 'sluice init' }),
    )
  })

  it('of a folder in place of a file says so', () => {
    expect(() => loadConfig(temporaryFolder())).toThrow(expect.objectContaining({ code: 'CONFIG', fault: 'usage' }))
  })

  it('is never a bare exception, whatever the text', () => {
    const token = fc.constantFrom(
      'data',
      'label',
      ':',
      ' ',
      '\n',
      '- ',
      '{',
      '}',
      '[',
      ']',
      '&a',
      '*a',
      '"',
      '!!',
      '0',
      'x',
      '|',
      ',',
      '?',
      '%',
      '\t',
    )
    fc.assert(
      fc.property(fc.array(token, { maxLength: 30 }), tokens => {
        problems(tokens.join(''))
      }),
      { numRuns: 50 },
    )
  })
})

describe('--set', () => {
  const given = withKey(
    'features:\n  - { kind: sma, n: [7, 14] }\nmodels:\n  - { kind: xgboost, params: { max_depth: 3 } }',
  )

  it('overrides what the file says, and adds what it does not', () => {
    const config = load(given, ['backtest.fee=0.001', 'seed=7', 'label.horizon=3', 'deploy=manual'])
    expect(config).toMatchObject({ seed: 7, backtest: { fee: 0.001 }, label: { horizon: 3 }, deploy: 'manual' })
  })

  it('reaches into lists and takes lists and maps', () => {
    const config = load(given, ['models.0.params.max_depth=[2, 4]', 'features.0.n=30', 'gates={sharpe: "> 0"}'])
    expect(config.models).toMatchObject([{ kind: 'xgboost', params: { max_depth: [2, 4] } }])
    expect(config).toMatchObject({ features: [{ kind: 'sma', n: 30 }], gates: { sharpe: '> 0' } })
  })

  it('lets the last of two win', () => {
    expect(load(given, ['seed=1', 'seed=2']).seed).toBe(2)
  })

  it('is checked like the rest', () => {
    expect(problems(given, ['seed=x'])[0]).toMatch(/^--set: seed: .*received string/)
    expect(problems(given, ['backtest.fees=1'])[0]).toMatch(/^--set: unknown key backtest\.fees; did you mean fee\?/)
  })

  it.each(['seed', '=1', 'label.kind.deep=1', 'seed=[1', 'features.x=1'])('refuses %s', override => {
    expect(problems(given, [override])).toHaveLength(1)
  })
})

const TABLE = `data: { schema: table, source: { kind: simulated, bars: 500 } }
label: { kind: column, name: y }
`

describe('a table', () => {
  it.each([
    ['binary', { split: 'stratified', refit: 'none', features: 'columns' }],
    ['multiclass', { split: 'stratified', refit: 'none', features: 'columns' }],
    ['regression', { split: 'kfold', refit: 'none', features: 'columns' }],
  ])('has defaults of its own: %s', (task, expected) => {
    const { split, refit, features } = load(`${TABLE}task: ${task}\n`)
    expect({ split: split.kind, refit, features: (features as { name?: string }[])[0].name }).toEqual(expected)
  })

  it('with a time has those of candles but their features', () => {
    const text = TABLE.replace('name: y', 'name: y, horizon: 1')
    const { split, refit, features } = load(`${text}split: { folds: 3 }\n`)
    expect([split, refit, features]).toMatchObject([{ kind: 'walk_forward', folds: 3 }, 'all', [{ name: 'columns' }]])
  })

  it('keeps what is given', () => {
    const { split, refit } = load(`${TABLE}split: { kind: holdout }\nrefit: all\n`)
    expect([split.kind, refit]).toEqual(['holdout', 'all'])
    expect(load(`${TABLE}split: { folds: 3 }\n`).split).toMatchObject({ kind: 'stratified', folds: 3 })
  })

  it.each([
    [
      'split: { kind: walk_forward }',
      'f.yaml:3:16: split.kind: walk_forward goes by time, and the rows have none: use stratified or kfold',
    ],
    ['split: { kind: purged_kfold }', /^f\.yaml:3:16: split\.kind: purged_kfold goes by time/],
    ['split: { embargo: 2 }', /^f\.yaml:3:19: split\.embargo: /],
    ['features: [{ kind: sma, n: 3 }]', /^f\.yaml:3:20: features\.0\.kind: sma looks back over rows/],
    ['models: [{ kind: ridge }]', 'f.yaml:3:18: models.0.kind: ridge is for regression, not binary'],
    [
      'task: regression\nmodels: [{ kind: logistic }]',
      'f.yaml:4:18: models.0.kind: logistic is for binary and multiclass, not regression',
    ],
    [
      'task: regression\nmodels: [{ kind: xgboost, params: { class_weight: balanced } }]',
      /^f\.yaml:4:51: models\.0\.params\.class_weight: /,
    ],
    ['preprocess: { numbers: { clip: [0.9, 0.1] } }', /^f\.yaml:3:32: preprocess\.numbers\.clip: /],
    ['preprocess: { numbers: { value: 3 } }', /^f\.yaml:3:33: preprocess\.numbers\.value: /],
    ['preprocess: { missing: guess }', /^f\.yaml:3:24: preprocess\.missing: there is no guess/],
    [
      'preprocess: { categories: { encode: native } }',
      /^f\.yaml:3:37: preprocess\.categories\.encode: logistic has no/,
    ],
  ])('%s is refused at its place', (text, message) => {
    const found = problems(`${TABLE}${text}\n`)
    expect(found).toEqual([typeof message === 'string' ? message : expect.stringMatching(message)])
  })

  it('may split by category where every model can', () => {
    const native = 'preprocess: { categories: { encode: native } }\nmodels: [{ kind: xgboost }, { kind: lightgbm }]\n'
    expect(problems(TABLE + native)).toEqual([])
  })
})

describe('a label', () => {
  it.each([
    ['{ kind: touch, horizon: 5, threshold: 0.01 }', 'regression', 'touch is a label for task: binary, not regression'],
    ['{ kind: forward_return, horizon: 5 }', 'binary', 'forward_return is a label for task: regression, not binary'],
    [
      '{ kind: triple_barrier, horizon: 5, up: 0.1, down: 0.1 }',
      'binary',
      'triple_barrier is a label for task: multiclass, not binary',
    ],
  ])('of another task is refused: %s', (label, task, message) => {
    const text = `data: { source: { kind: simulated, bars: 500 } }\nlabel: ${label}\ntask: ${task}\n`
    expect(problems(text)).toEqual([`f.yaml:2:16: label.kind: ${message}`])
  })

  it('that is a column of candles needs a horizon', () => {
    expect(problems(SMALLEST.replace(/^label.*$/m, 'label: { kind: column, name: y }'))).toEqual([
      'f.yaml:3:8: label.horizon: rows have a time: say how many of them ahead the label is known',
    ])
  })

  it('of candles is none of a table', () => {
    expect(problems(TABLE.replace(/^label.*$/m, 'label: { kind: direction, horizon: 1 }'))).toEqual([
      'f.yaml:2:16: label.kind: direction is told by candles; a table has labels of kind column',
    ])
  })
})
