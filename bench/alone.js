// Ingests one file into a new home and says how long that took and how much memory.
import { ingest } from '../dist/data/ingest.js'
import { configure, inHome } from './home.js'

const [path] = process.argv.slice(2)
const found = await inHome(async context => {
  const { config } = configure(context.home, {
    name: 'bench',
    data: { source: { kind: 'file', path }, timeframe: '1s' },
    label: { kind: 'direction', horizon: 1 },
  })
  const from = performance.now()
  const { rows } = await ingest(config.data, context)
  return { rows, seconds: (performance.now() - from) / 1000 }
})
// maxRSS is in KiB.
process.send({ ...found, memory: (process.resourceUsage().maxRSS * 1024) / 1e9 })
process.disconnect()
