// The main job by the commands that a user types: from nothing to a prediction over HTTP.
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { tableDigest } from '../src/base/table.ts'
import { readColumns } from '../src/data/files.ts'
import { json, sluice, start } from './command.ts'
import { PLANTED, STAGES } from './planted.ts'
import { childrenOf } from './processes.ts'
import { put } from './temporary.ts'

const folder = mkdtempSync(join(tmpdir(), 'sluice-e2e-'))
const told = (...args: string[]) => json(folder, [...args])
const story = (command: string, ...args: string[]) => told(command, '-c', 'f.yaml', ...args)

beforeAll(() => put(folder, 'f.yaml', PLANTED))
afterAll(() => rmSync(folder, { recursive: true }))

const readCsv = (name: string): string[][] => {
  const lines = readFileSync(join(folder, name), 'utf8').trimEnd().split('\n')
  return lines.map(line => line.split(','))
}

describe('stage by stage', () => {
  it('ingests once', async () => {
    const first = await story('ingest')
    expect(first).toMatchObject({
      table: 'planted',
      version: 1,
      read: 1500,
      accepted: 1500,
      rejected: 0,
      duplicates: 0,
      gaps: 0,
      reasons: {},
      quarantine: null,
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
    })
    expect(await story('ingest')).toMatchObject({ version: 1, digest: first.digest })
  })

  it('builds a row per bar, equal as CSV and as Parquet', async () => {
    const built = await story('build', '--out', 'b.csv')
    await story('build', '--out', 'b.parquet')
    const names = ['roc_1', 'roc_3', 'roc_10', 'rsi_14', 'bb_20_2_upper', 'bb_20_2_middle', 'bb_20_2_lower']
    expect(built).toMatchObject({
      rows: 1500,
      features: names,
      label: 'direction',
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
      seconds: expect.any(Number),
    })
    const [header, ...rows] = readCsv('b.csv')
    expect(header).toEqual(['time', ...names, 'label'])
    expect(rows).toHaveLength(1500)
    expect(rows.every(([time]) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(time))).toBe(true)
    expect(rows.flatMap(([, ...cells]) => cells.filter(cell => cell !== '' && String(Number(cell)) !== cell))).toEqual(
      [],
    )
    expect(rows[0].slice(1, 5)).toEqual(['', '', '', ''])
    expect(rows.slice(-4).map(row => row.at(-1) === '')).toEqual([false, true, true, true])
    const [csv, parquet] = await Promise.all(['b.csv', 'b.parquet'].map(name => readColumns(join(folder, name))))
    expect(tableDigest(parquet)).toBe(tableDigest(csv))
  })

  it('freezes a dataset and writes its parts', async () => {
    const { rows, parts, files, digest } = await story('dataset', '--out', 'parts')
    expect(rows).toBe(1500 - 19 - 3)
    expect(parts.train + parts.valid + parts.test + parts.purged).toBe(rows)
    expect(files).toEqual(['train', 'val', 'test'].map(name => join(folder, 'parts', `${name}.parquet`)))
    expect(digest).toMatch(/^[0-9a-f]{64}$/)
    expect((await readColumns(files[2])).rows).toBe(parts.test)
  })

  it('trains the grid', async () => {
    const { candidates } = await story('train')
    expect(candidates).toMatchObject([
      { id: 'logistic-1', kind: 'logistic', params: { C: 1 }, metrics: { roc_auc: expect.any(Number) } },
      { id: 'lightgbm-1', kind: 'lightgbm', params: { n_estimators: 30 }, metrics: { log_loss: expect.any(Number) } },
    ])
  })

  it('runs the story on what is finished, and deploys', async () => {
    const result = await story('run')
    expect(result.stages.map(({ name, cached }: { name: string; cached: boolean }) => [name, cached])).toEqual(
      STAGES.map(name => [name, STAGES.indexOf(name) < 4]),
    )
    expect(result).toMatchObject({ status: 'deployed', model: { name: 'planted', version: 1 }, test_looks: 1 })
    for (const file of Object.values<string>(result.files)) expect(existsSync(file), file).toBe(true)
    expect(statSync(result.files.report).size).toBeLessThan(1 << 20)
  })

  it('refuses with exit 3 and the full JSON, and keeps the champion', async () => {
    const result = await json(folder, ['run', '-c', 'f.yaml', '--set', 'gates={sharpe: "> 100"}'], 3)
    expect(result).toMatchObject({
      status: 'refused',
      gates: [{ name: 'sharpe', bound: '> 100', pass: false }],
      model: { version: 2 },
    })
    expect(result.stages.map(({ name }: { name: string }) => name)).toEqual(STAGES.slice(0, -1))
    const { models } = await told('models', 'list')
    expect(models).toMatchObject([
      { version: 1, status: 'registered', aliases: ['champion'] },
      { version: 2, status: 'refused', aliases: [] },
    ])
  })

  it('audits', async () => {
    const { checks } = await story('audit')
    expect(
      checks.map(({ name, ok, worst }: { name: string; ok: boolean; worst: number }) => [name, ok, worst]),
    ).toEqual([
      ['truncation', true, 0],
      ['future_poison', true, 0],
      ['split_overlap', true, 0],
    ])
  })
})

describe('what has been run', () => {
  it('is listed and shown, and its report is written again', async () => {
    const { runs } = await told('runs', 'list')
    expect(runs.map(({ command, status }: { command: string; status: string }) => `${command} ${status}`)).toEqual([
      'audit done',
      'run refused',
      'run deployed',
      'train done',
      'dataset done',
      'build done',
      'build done',
      'ingest done',
      'ingest done',
    ])
    const { run } = runs[2]
    const shown = (await told('runs', 'show', run)).runs[0]
    expect(shown).toMatchObject({
      run,
      status: 'deployed',
      result: { status: 'deployed' },
      config: { name: 'planted', seed: 42 },
    })
    expect(shown.steps.map(({ stage }: { stage: string }) => stage)).toEqual(STAGES)
    const { path } = await told('report', run, '--out', 'again.html')
    expect(path).toBe(join(folder, 'again.html'))
    expect(readFileSync(path, 'utf8')).toBe(readFileSync(shown.result.files.report, 'utf8'))
    const data = shown.result.files.report.replace(/html$/, 'json')
    const whole = readFileSync(data, 'utf8')
    writeFileSync(data, whole.replace('"format":1', '"format":0'))
    expect(await json(folder, ['report', run], 4)).toMatchObject({ error: { code: 'REPORT_FORMAT' } })
    writeFileSync(data, whole)
  })
})

describe('a registered model', () => {
  it('is verified, shown, promoted and rolled back', async () => {
    expect((await told('models', 'verify', 'planted')).models).toMatchObject([{ version: 1, ok: true }])
    const tracked = await told('models', 'dvc', 'planted', '--out', 'tracked', '--remote', 'remote')
    expect(tracked).toMatchObject({
      name: 'planted',
      version: 1,
      pointer: expect.stringMatching(/tracked.planted\.dvc$/),
    })
    expect((await told('models', 'show', 'planted@1')).models).toMatchObject([
      { manifest: { name: 'planted', version: 1, shipped: { refit: 'all' } } },
    ])
    expect(await json(folder, ['models', 'promote', 'planted@2'], 3)).toMatchObject({
      error: { code: 'REFUSED_VERSION' },
    })
    await told('models', 'promote', 'planted@2', '--force', '--reason', 'a test')
    expect((await told('models', 'show', 'planted')).models[0].version).toBe(2)
    expect((await told('models', 'rollback', 'planted')).models).toMatchObject([{ version: 1, alias: 'champion' }])
  })

  it('answers alike for candles, for feature columns and over HTTP', async () => {
    const candles = join(folder, '.sluice/tables/planted/1/part-all.parquet')
    const a = await told('predict', '--model', 'planted', '--input', candles, '--out', 'a.csv')
    const b = await told('predict', '--model', 'planted@1', '--input', 'b.csv', '--out', 'p.csv')
    expect([a.rows, a.unanswered, b.rows, b.unanswered]).toEqual([1500, 19, 1500, 19])
    const [[...header], ...offline] = readCsv('a.csv')
    expect(header).toEqual(['time', 'probability', 'signal'])
    expect(readCsv('p.csv')).toEqual([header, ...offline])

    const [names, ...rows] = readCsv('b.csv')
    const features = names.slice(1, -1)
    const asked = rows.slice(-50).map(row => Object.fromEntries(features.map((name, i) => [name, Number(row[i + 1])])))
    const server = start(folder, ['serve', '-c', 'f.yaml', '--port', '0', '--json'])
    onTestFinished(() => void server.kill('SIGKILL'))
    const lines = createInterface({ input: server.stdout! })[Symbol.asyncIterator]()
    const { listening } = JSON.parse((await lines.next()).value)
    const post = (body: unknown) =>
      fetch(`${listening}/v1/predict`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
    const answer = (await (await post({ rows: asked })).json()) as {
      predictions: { probability: number; signal: number }[]
    }
    expect(answer).toMatchObject({ model: { name: 'planted', version: 1 }, request_id: expect.any(String) })
    expect(answer.predictions.map(({ probability, signal }) => [String(probability), String(signal)])).toEqual(
      offline.slice(-50).map(([, ...cells]) => cells),
    )
    const wrong = await post({ rows: [{ ...asked[0], rsi_14: '12' }] })
    expect([wrong.status, await wrong.json()]).toMatchObject([400, { code: 'WRONG_TYPE', pointer: '/rows/0/rsi_14' }])
    expect(Object.keys(((await (await fetch(`${listening}/openapi.json`)).json()) as { paths: object }).paths)).toEqual(
      expect.arrayContaining(['/v1/predict', '/healthz', '/readyz', '/metrics']),
    )

    const late = post({ rows: asked })
    server.kill('SIGTERM')
    expect((await late).status).toBe(200)
    expect(await server.ended).toMatchObject({ code: 0, out: `${JSON.stringify({ listening })}\n` })
    expect(childrenOf(server.pid!)).toEqual([])
  })

  it('whose file was changed is neither served nor used', async () => {
    const model = join(folder, '.sluice/models/planted/1/model.onnx')
    copyFileSync(model, `${folder}/kept`)
    const bytes = readFileSync(model)
    bytes[bytes.length >> 1] ^= 1
    put(folder, '.sluice/models/planted/1/model.onnx', bytes)
    for (const args of [
      ['models', 'verify', 'planted'],
      ['predict', '--model', 'planted', '--input', 'b.csv', '--out', 'never.csv'],
      ['serve', '-c', 'f.yaml', '--port', '0'],
    ])
      expect(await json(folder, args, 4)).toMatchObject({ error: { code: 'BUNDLE_FILES' } })
    expect(existsSync(join(folder, 'never.csv'))).toBe(false)
    copyFileSync(`${folder}/kept`, model)
    expect(await told('models', 'verify', 'planted')).toBeDefined()
  })
})

describe('a beginner', () => {
  it('gets a config that is valid, from nothing and from a file of candles', async () => {
    expect(await told('init', 'market', 'new')).toEqual({ files: [join(folder, 'new/sluice.yaml')] })
    expect(await told('config', 'show', '-c', 'new/sluice.yaml')).toMatchObject({
      name: 'market',
      task: 'binary',
      split: { folds: 5 },
    })
    const again = await sluice(folder, 'init', 'market', 'new')
    expect([again.code, again.err]).toEqual([2, expect.stringMatching(/^error EXISTS: /)])

    copyFileSync(join(folder, '.sluice/tables/planted/1/part-all.parquet'), join(folder, '600519.parquet'))
    await told('init', 'market', 'number', '--data', '600519.parquet')
    expect(await told('config', 'show', '-c', 'number/sluice.yaml')).toMatchObject({ name: '600519' })

    copyFileSync(join(folder, '600519.parquet'), join(folder, 'My Prices.parquet'))
    await told('init', 'market', 'mine', '--data', 'My Prices.parquet')
    const config = await told('config', 'show', '-c', 'mine/sluice.yaml')
    expect(config).toMatchObject({
      name: 'my-prices',
      data: { timeframe: '1d', source: { path: join(folder, 'My Prices.parquet') } },
      backtest: { periods_per_year: 365 },
    })
    expect(await told('ingest', '-c', 'mine/sluice.yaml')).toMatchObject({ accepted: 1500, rejected: 0 })
  })

  it('is told of an option that is no number', async () => {
    for (const args of [
      ['serve', '-c', 'new/sluice.yaml', '--port', 'abc'],
      ['serve', '-c', 'new/sluice.yaml', '--port', '70000'],
      ['metrics', '--task', 'binary', '--input', 'x.csv', '--threshold', 'half'],
    ])
      expect(await sluice(folder, ...args)).toMatchObject({ code: 2, err: expect.stringContaining('It must be') })
  })

  it('is told by doctor what is there', async () => {
    const { checks } = await told('doctor')
    expect(checks.map(({ name, ok }: { name: string; ok: boolean }) => [name, ok])).toEqual(
      expect.arrayContaining([
        ['node', true],
        ['engine', true],
        ['store', true],
        ['disk', true],
      ]),
    )
    expect(checks.map(({ name }: { name: string }) => name)).toContain('temperature')
    const broken = await start(folder, ['doctor', '--json'], { SLUICE_PYTHON: '/nowhere/python' }).ended
    expect(broken.code).toBe(1)
    expect(JSON.parse(broken.out).checks).toContainEqual(
      expect.objectContaining({ name: 'engine', ok: false, fix: expect.stringMatching(/^unset SLUICE_PYTHON/) }),
    )
  })

  it('leaves nothing half-written anywhere', () => {
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    expect(files.filter(name => /\.tmp$/.test(name))).toEqual([])
  })
})
