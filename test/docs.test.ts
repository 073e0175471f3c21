// The documentation is held to the code: keys and defaults, commands and options, links and files. What it says in words, people have to check.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { trackingSchema } from '../src/base/tracker.ts'
import { main } from '../src/cli.ts'
import { loadConfig } from '../src/config.ts'
import { dataConfig } from '../src/data/schema.ts'
import { featuresSchema } from '../src/features/catalog.ts'
import { labelSchema } from '../src/features/labels.ts'
import { expandModels, type ModelsConfig, modelsSchema } from '../src/learn/models.ts'
import { NETWORKS, type Network } from '../src/learn/networks.ts'
import { preprocessSchema } from '../src/learn/preprocess.ts'
import { splitSchema } from '../src/learn/split.ts'
import { thermalSchema } from '../src/learn/thermal.ts'
import { backtestSchema } from '../src/prove/backtest.ts'
import { gatesSchema } from '../src/prove/gate.ts'
import { selectSchema, thresholdsSchema } from '../src/prove/select.ts'
import { registrySchema } from '../src/registry/keys.ts'
import { serveSchema } from '../src/serve/deploy.ts'
import { put, temporaryFolder } from './temporary.ts'

const root = join(import.meta.dirname, '..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

/** Rows of the tables below each heading of the second or third level, by their first cell in backquotes. */
function tables(markdown: string): Map<string, Map<string, string[]>> {
  const sections = new Map<string, Map<string, string[]>>()
  for (const part of markdown.split(/^##+ /m).slice(1)) {
    const rows = part.split('\n').filter(line => line.startsWith('| `'))
    const cells = rows.map(row =>
      row
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map(cell => cell.trim()),
    )
    sections.set(part.split('\n')[0].trim(), new Map(cells.map(([key, ...rest]) => [key.replaceAll('`', ''), rest])))
  }
  return sections
}

const SECTIONS: Record<string, z.ZodType> = {
  data: dataConfig,
  features: featuresSchema,
  label: labelSchema,
  split: splitSchema,
  preprocess: preprocessSchema,
  models: modelsSchema,
  thermal: thermalSchema,
  thresholds: thresholdsSchema,
  select: selectSchema,
  backtest: backtestSchema,
  gates: gatesSchema,
  registry: registrySchema,
  serve: serveSchema,
  tracking: trackingSchema,
}

/** Every property of a JSON schema, however deep: its key, and whether it has a default. */
function propertiesOf(node: unknown): { key: string; optional: boolean }[] {
  if (!node || typeof node !== 'object') return []
  const own = Object.entries('properties' in node ? (node.properties as object) : {})
  const keys = own.map(([key, property]) => ({ key, optional: 'default' in property }))
  return [...keys, ...Object.values(node).flatMap(propertiesOf)]
}

const schemaKeys = (schema: z.ZodType) => propertiesOf(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }))

/** The smallest config of each source, with every default. */
function smallestConfigs(): Record<string, unknown>[] {
  const folder = temporaryFolder()
  put(folder, 'prices.csv', 'time,close\n')
  const touch = 'label: { kind: touch, horizon: 5, threshold: 0.01 }'
  const configs = [
    'data: { source: { kind: file, path: prices.csv }, schema: [{ name: a }] }\nlabel: { kind: column, name: a }',
    `data: { source: { kind: simulated, bars: 500 } }\n${touch}\ntracking: { mlflow: {}, wandb: {} }`,
    `data: { source: { kind: feargreed } }\n${touch}`,
    `data: { source: { kind: http, url: "https://example.com", paging: { kind: page } } }\n${touch}`,
    `data: { source: { kind: postgres, table: x } }\n${touch}`,
    `data: { source: { kind: binance, symbols: [BTCUSDT], start: 2024-01-01 }, timeframe: 1h }\n${touch}`,
  ]
  return configs.map(text => {
    return { ...loadConfig(put(folder, 'sluice.yaml', text)).config }
  })
}

/** What a path of keys leads to; of a list, in its first entry. */
const at = (node: unknown, keys: string[]): unknown =>
  keys.reduce((inner, key) => ([inner].flat()[0] as Record<string, unknown> | undefined)?.[key], node)

describe('docs/config.md', () => {
  const documented = tables(read('docs/config.md'))
  const sectionsOf = (name: string) => [...documented].filter(([heading]) => heading.split(/[ .]/)[0] === name)

  it('has a section for every one of the config, and a row for every key', () => {
    const [config] = smallestConfigs()
    const top = documented.get('top')!
    expect([...top.keys()].sort()).toEqual(Object.keys(config).sort())
    expect([...top.keys()].filter(key => sectionsOf(key).length).sort()).toEqual(Object.keys(SECTIONS).sort())
  })

  it.each(Object.entries(SECTIONS))('has the keys of %s, and no other', (name, schema) => {
    const rows = sectionsOf(name).flatMap(([, table]) => [...table.keys()])
    const parameters = new Set(name === 'models' ? allParameters() : [])
    const keys = schemaKeys(schema).map(({ key }) => key)
    expect([...new Set(rows)].sort()).toEqual([...new Set(keys)].filter(key => !parameters.has(key)).sort())
  })

  // Defaults of features and models are those of their kinds, which have pages of their own.
  it.each(Object.entries(SECTIONS).filter(([name]) => !['features', 'models'].includes(name)))(
    'shows a default for every key of %s that has one',
    (name, schema) => {
      const shown = (key: string) => sectionsOf(name).some(([, table]) => /^`.*`$/.test(table.get(key)?.[1] ?? ''))
      const hidden = schemaKeys(schema).filter(({ key, optional }) => optional && !shown(key))
      expect(hidden).toEqual([])
    },
  )

  it('shows defaults as they are', () => {
    const configs = smallestConfigs()
    const wrong = [...documented].flatMap(([heading, table]) =>
      [...table].flatMap(([key, [, shown]]) => {
        const value = /^`(.*)`$/.exec(shown ?? '')
        if (!value) return []
        const path = [...heading.replace(/ \(.*/, '').split('.'), key].filter(part => part !== 'top')
        const found = configs.map(config => JSON.stringify(at(config, path)))
        return found.includes(JSON.stringify(parse(value[1]))) ? [] : [`${path.join('.')}: ${shown}, not ${found}`]
      }),
    )
    expect(wrong).toEqual([])
  })
})

const KINDS = ['logistic', 'ridge', 'random_forest', 'xgboost', 'lightgbm', 'catboost'] as const

const NETWORK_KINDS = Object.keys(NETWORKS) as Network[]

const defaultsOf = (kind: (typeof KINDS)[number] | Network) =>
  expandModels([{ kind, params: {} } as ModelsConfig[number]], 'binary')[0].params
const allParameters = (): string[] => [...KINDS, ...NETWORK_KINDS].flatMap(kind => Object.keys(defaultsOf(kind)))

describe('docs/models.md', () => {
  const documented = tables(read('docs/models.md'))

  it.each(KINDS)('has the parameters of %s with their defaults', kind => {
    const shown = [...documented.get(kind)!].map(([name, [value]]) => [name, parse(value)])
    expect(Object.fromEntries(shown)).toEqual(defaultsOf(kind))
  })

  it.each(NETWORK_KINDS)('has the parameters of %s with their defaults, on the page of networks', kind => {
    const networks = tables(read('docs/networks.md'))
    const shown = [...networks.get('training')!, ...networks.get(kind)!].map(([name, [value]]) => [name, parse(value)])
    expect(Object.fromEntries(shown)).toEqual(defaultsOf(kind))
  })

  it('has every kind and preset', () => {
    const kinds = JSON.stringify(z.toJSONSchema(modelsSchema, { io: 'input' }))
    const named = [...kinds.matchAll(/"const":"(\w+)"/g)].map(([, kind]) => kind)
    expect(named.sort()).toEqual([...KINDS, ...NETWORK_KINDS, 'preset'].sort())
    for (const preset of ['grid_16', 'grid_20']) expect([...documented.get('Presets')!.keys()].join()).toContain(preset)
  })
})

/** What `sluice WORDS --help` prints. */
async function help(...words: string[]): Promise<string> {
  let text = ''
  const write = vi.spyOn(process.stdout, 'write').mockImplementation(chunk => {
    text += chunk
    return true
  })
  try {
    await main([...words, '--help'])
  } finally {
    write.mockRestore()
  }
  return text
}

/** Every command that does something, as it is typed. */
async function commands(...words: string[]): Promise<string[]> {
  const [, list] = (await help(...words)).split('Commands:\n')
  if (!list) return [words.join(' ')]
  const names = [...list.matchAll(/^ {2}([a-z-]+)/gm)].map(([, name]) => name).filter(name => name !== 'help')
  const all: string[] = []
  for (const name of names) all.push(...(await commands(...words, name)))
  return all
}

describe('docs/commands.md', async () => {
  const text = read('docs/commands.md')
  const sections = new Map(text.split(/^### /m).map(part => [part.split('\n')[0], part]))
  const [general] = text.split(/^## /m)
  const all = await commands()

  it('has every command, and no other', () => {
    expect(all.length).toBeGreaterThan(20)
    expect([...sections.keys()].slice(1).sort()).toEqual([...all].sort())
  })

  it.each(all)('has every option of %s', async name => {
    const options = [...(await help(...name.split(' '))).matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map(
      ([, flag]) => flag,
    )
    const known = `${general}${sections.get(name)}`
    expect(options).toContain('--json')
    expect(
      options.filter(flag => !known.includes(flag) && !(flag === '--config' && known.includes('-c FILE'))),
    ).toEqual([])
  })
})

const pages = [
  ...readdirSync(root).filter(name => name.endsWith('.md')),
  ...['docs', 'examples', 'examples/sp500', 'examples/planted', 'examples/penguins', 'examples/etth1'].flatMap(folder =>
    readdirSync(join(root, folder))
      .filter(name => name.endsWith('.md'))
      .map(name => `${folder}/${name}`),
  ),
]

/** As GitHub makes them. */
const anchors = (markdown: string): string[] =>
  [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  )

describe.each(pages)('%s', page => {
  const text = read(page)

  it('links to what is there', () => {
    const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, link]) => link)
      .filter(link => !link.startsWith('http'))
    const broken = links.filter(link => {
      const [path, anchor] = link.split('#')
      const target = path ? join(dirname(page), path) : page
      return !existsSync(join(root, target)) || (anchor !== undefined && !anchors(read(target)).includes(anchor))
    })
    expect(broken).toEqual([])
  })

  it('names files that are there', () => {
    const named = [...text.matchAll(/`((?:src|test|engine|bench|protocol|sql|examples|bin)\/[\w./-]*\w)`/g)]
    expect(named.map(([, path]) => path).filter(path => !existsSync(join(root, path)))).toEqual([])
  })
})

describe('ARCHITECTURE.md', () => {
  it('has at most 200 lines, and maps files that are there', () => {
    const text = read('ARCHITECTURE.md')
    expect(text.split('\n').length).toBeLessThanOrEqual(200)
    const [, map] = /^## Code map\n([\s\S]*?)^## /m.exec(text)!
    const missing = map.split('\n\n').flatMap(part => {
      const folder = /\*\*`(\w+\/(?:\w+\/)?)`\*\*/.exec(part)?.[1] ?? ''
      const files = [...part.matchAll(/`(\w+\.ts)`/g)].map(([, file]) => join(folder, file))
      return files.filter(file => !existsSync(join(root, file)))
    })
    expect(missing).toEqual([])
  })
})

it('every code of an error is in the documentation', () => {
  const files = (folder: string, end: string) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith(end))
  const thrown = files('src', '.ts').flatMap(name =>
    [...read(join('src', name)).matchAll(/(?:Error|failure|corrupt|refuse)\(\s*'([A-Z][A-Z0-9_]+)'/g)].map(
      ([, code]) => code,
    ),
  )
  const documented = files('docs', '.md')
    .map(name => read(join('docs', name)))
    .join('\n')
  expect(thrown.length).toBeGreaterThan(100)
  expect(thrown.filter(code => !new RegExp(`\\b${code}\\b`).test(documented))).toEqual([])
})
