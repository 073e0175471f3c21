// `make demo`: three runs and a server, by the commands a user would type.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const command = join(root, 'bin/sluice')
const REFUSED = 3

const heading = text => console.log(`\n\x1b[1m${text}\x1b[0m`)

/** Runs a command in front of the reader; a refusal by a gate is a result, not a failure. */
async function sluice(...args) {
  console.log(`$ sluice ${args.join(' ')}`)
  const [code] = await once(spawn(command, args, { cwd: root, stdio: 'inherit' }), 'exit')
  if (code !== 0 && code !== REFUSED) process.exit(code ?? 1)
}

/** The features of the newest bar, as a client of the server would have them. */
async function newestRow(config) {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-demo-'))
  const file = join(folder, 'features.csv')
  await once(
    spawn(command, ['build', '-c', config, '--out', file, '--quiet', '--json'], { cwd: root, stdio: 'ignore' }),
    'exit',
  )
  const lines = readFileSync(file, 'utf8').trim().split('\n')
  rmSync(folder, { recursive: true })
  const [names, values] = [lines[0], lines.at(-1)].map(line => line.split(','))
  const features = names.map((name, i) => [name, values[i] === '' ? null : Number(values[i])])
  return Object.fromEntries(features.filter(([name]) => name !== 'time' && name !== 'label'))
}

async function askServer(config) {
  const row = await newestRow(config)
  console.log(`$ sluice serve -c ${config} --port 0`)
  const server = spawn(command, ['serve', '-c', config, '--port', '0', '--json'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = await once(createInterface({ input: server.stdout }), 'line')
  const { listening } = JSON.parse(line)
  console.log(
    `listening on ${listening}\n$ curl -H 'content-type: application/json' -d '{"rows": [{"ret_1": ${row.ret_1}, ...}]}' ${listening}/v1/predict`,
  )
  const response = await fetch(`${listening}/v1/predict`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ rows: [row] }),
  })
  console.log(JSON.stringify(await response.json()))
  server.kill('SIGTERM')
  const [code] = await once(server, 'exit')
  console.log(`the server has drained and ended with ${code}`)
  return response.ok && code === 0
}

const began = Date.now()
heading('1. Daily S&P 500, 2000-2020: 16 models x 10 thresholds')
await sluice('run', '-c', 'examples/sp500/sluice.yaml')
heading('2. A simulated series with a planted signal')
await sluice('run', '-c', 'examples/planted/sluice.yaml')
heading('3. A table: three species of penguins')
await sluice('run', '-c', 'examples/penguins/sluice.yaml')
heading('4. A champion over HTTP')
const answered = await askServer('examples/planted/sluice.yaml')
console.log(`\ndone in ${((Date.now() - began) / 1000).toFixed(0)} s`)
process.exitCode = answered ? 0 : 1
