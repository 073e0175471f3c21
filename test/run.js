// Runs the tiers named on the command line one after another and closes with one line: N passed, N failed.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const folder = mkdtempSync(join(tmpdir(), 'sluice-tests-'))
const vitest = join(root, 'node_modules/vitest/vitest.mjs')

function runVitest(tier) {
  const out = join(folder, `${tier}.json`)
  const coverage = tier === 'unit' ? ['--coverage', '--coverage.reporter=text-summary'] : []
  const args = [
    vitest,
    'run',
    '--project',
    tier,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${out}`,
    ...coverage,
  ]
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' })
  const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(readFileSync(out, 'utf8'))
  return { passed: numPassedTests, failed: numFailedTests, skipped: numPendingTests, status }
}

/** The engine's own tests, with the engine's own interpreter. */
function runPytest() {
  const out = join(folder, 'engine.xml')
  const python = spawnSync(join(root, 'bin/sluice'), ['engine', 'check', '--json'], { encoding: 'utf8' })
  const { status } = spawnSync(
    JSON.parse(python.stdout).python,
    ['-m', 'pytest', '-q', '-rs', '-p', 'no:cacheprovider', `--junitxml=${out}`, 'tests'],
    {
      cwd: join(root, 'engine'),
      stdio: 'inherit',
      env: {
        ...process.env,
        PYTHONPATH: join(root, 'engine'),
        OMP_NUM_THREADS: '1',
        OPENBLAS_NUM_THREADS: '1',
        PYTHONDONTWRITEBYTECODE: '1',
      },
    },
  )
  const [, attributes] = readFileSync(out, 'utf8').match(/<testsuite ([^>]*)>/)
  const count = name => Number(attributes.match(new RegExp(`\\b${name}="(\\d+)"`))[1])
  const failed = count('failures') + count('errors')
  return { passed: count('tests') - failed - count('skipped'), failed, skipped: count('skipped'), status }
}

let passed = 0
let failed = 0
let skipped = 0
let broken = false
for (const tier of process.argv.slice(2)) {
  const began = Date.now()
  const result = tier === 'engine' ? runPytest() : runVitest(tier)
  console.log(
    `${tier}: ${result.passed} passed, ${result.failed} failed, ${result.skipped} skipped in ${((Date.now() - began) / 1000).toFixed(0)} s`,
  )
  passed += result.passed
  failed += result.failed
  skipped += result.skipped
  // A tier can fail without a failed test: a file that does not load, coverage under its bound.
  broken ||= result.status !== 0
}
rmSync(folder, { recursive: true, force: true })
if (broken && !failed) console.log('a tier ended with an error although every test passed: see above')
console.log(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`)
process.exitCode = broken || failed ? 1 : 0
