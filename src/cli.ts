// The command line: what there is to type, and what a failure looks like. What the commands do is in commands.ts.
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { codeOf, EXIT, interruption, messageOf, SluiceError } from './base/errors.ts'
import type { Options } from './command.ts'
import type * as Commands from './commands.ts'

/** How long a stopped command may tidy up before it is ended. */
const GRACE_MS = 1500

/** Parses and performs; sets process.exitCode. */
export async function main(argv: string[]): Promise<void> {
  const program = buildProgram()
  try {
    await program.parseAsync(argv, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    process.exitCode = error.exitCode === 0 ? 0 : EXIT.usage
    if (error.exitCode !== 0 && argv.includes('--json'))
      writeError({ code: 'USAGE', message: error.message.replace(/^error: /, '') })
  }
}

function buildProgram(): Command {
  const program = new Command('sluice')
    .description('From raw candles to a model that has earned its place in production.')
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'error USAGE: ')) })
    .showHelpAfterError('(add --help for the options)')

  const add = (
    parent: Command,
    signature: string,
    description: string,
    name: keyof typeof Commands,
    { config = false, isDefault = false } = {},
  ) => {
    const made = parent.command(signature, { isDefault }).description(description)
    if (config) made.requiredOption('-c, --config <file>', 'the YAML file')
    made
      .option('--set <key=value>', 'overrides a key of the config; may be repeated', collect, [])
      .option('--home <dir>', 'where state lives (default: .sluice beside the config)')
      .option('--json', 'one JSON document on stdout')
      .option('--quiet', 'no progress')
    made.action((...args: unknown[]) => {
      const names = made.registeredArguments.map(argument => argument.name())
      const values = Object.fromEntries(names.map((argument, i) => [argument, args[i]]))
      return perform(name, { ...values, ...(made.opts() as Options) })
    })
    return made
  }

  add(program, 'init', 'writes a working, commented config', 'init')
    .argument('[preset]', 'market, tabular or deep')
    .argument('[dir]', 'where to write it')
    .option('--data <file>', 'a file of candles, or a table: what it tells goes into the config')
  add(program, 'doctor', 'checks Node, Python, the engine, the store and the disk', 'doctor')
  const config = program.command('config').description('the configuration')
  add(config, 'show', 'the resolved config, with defaults', 'showConfig', { config: true })
  add(program, 'ingest', 'source -> table version', 'ingest', { config: true })
  add(program, 'build', 'features and label', 'build', { config: true }).option(
    '--out <file>',
    'writes a row per bar as .csv or .parquet',
  )
  add(program, 'dataset', 'rows, split, purge; train/val/test files on request', 'dataset', { config: true }).option(
    '--out <dir>',
    'writes train.parquet, val.parquet and test.parquet',
  )
  add(program, 'train', 'fits the grid', 'train', { config: true })
  add(program, 'run', 'the whole story: ingest, build, dataset, train, select, gate, register, deploy', 'run', {
    config: true,
  })
  const data = program.command('data').description('what is in tables')
  const about = (signature: string, description: string, name: keyof typeof Commands) =>
    add(data, signature, description, name)
      .argument('[table]', 'name or name@version (default: the newest)')
      .option('-c, --config <file>', 'a config: its home, and its table where none is named')
  about('profile', 'columns and series of a table', 'profileData')
  about('diff', 'how two versions differ', 'diffData').argument(
    '[other]',
    'name@version (default: table is the later of the two, compared with the version before it)',
  )
  about('versions', 'the versions of a table, or of all', 'listTables')
  about('quarantine', 'the rows that were refused, and why', 'showQuarantine').option(
    '--limit <n>',
    'rows shown',
    wholeNumber,
    20,
  )
  const dvc = (made: Command) =>
    made
      .requiredOption('--out <dir>', 'where the pointer is written')
      .option('--remote <dir>', 'a folder that is a DVC remote: what the pointer names is put there')
  dvc(about('dvc', 'a .dvc pointer to a version of a table', 'trackData'))
  about('verify', 'files and manifests of a table, or of all, against their digests', 'verifyData')
  add(program, 'audit', 'look-ahead and leak audits', 'audit', { config: true })

  add(program, 'backtest', 'trades, costs and equity of signals on candles', 'backtest')
    .requiredOption('--candles <file>', 'candles, CSV or Parquet')
    .requiredOption('--signals <file>', 'columns time and signal (1, 0, -1), known at the close of the bar')
    .addOption(new Option('--fill <when>').choices(['next_open', 'close']).default('next_open'))
    .option('--fee <fraction>', 'of the filled value, each side', number, 0)
    .option('--slippage <fraction>', 'buys at price x (1+s), sells at price x (1-s)', number, 0)
    .addOption(new Option('--units <kind>').choices(['fractional', 'whole']).default('fractional'))
    .option('--cash <amount>', 'at the start', number, 1_000_000)
    .addOption(new Option('--mode <mode>').choices(['long', 'long_short']).default('long'))
    .addOption(new Option('--accounting <kind>').choices(['units', 'returns']).default('units'))
    .option('--periods-per-year <n>', "default: the candles' mean bars per year", number)
    .option('--out <file>', 'writes the equity as .csv or .parquet')
  add(program, 'metrics', 'metrics of a file of truths and predictions', 'metrics')
    .addOption(new Option('--task <task>').choices(['binary', 'multiclass', 'regression']).makeOptionMandatory())
    .requiredOption('--input <file>', 'y_true and y_score, y_score_<class> or y_pred')
    .option('--threshold <p>', 'predicted 1 when y_score >= p', number, 0.5)
  const network = (signature: string, description: string, name: keyof typeof Commands) =>
    add(program, signature, description, name).argument('<file>', 'a YAML file of a network: kind, budget, params')
  network('params', 'trainable parameters of a network, held to its budget', 'params')
  network('batch-size', 'the largest batch that fits into the memory', 'batchSize').option(
    '--memory-mb <n>',
    'what it may take (default: four fifths of what is free)',
    number,
  )
  add(program, 'report', 'the HTML report of a run', 'report')
    .argument('<run>', 'its id, or the beginning of it')
    .option('--out <file>', 'where to write it')

  const runs = program.command('runs').description('what has been run')
  add(runs, 'list', 'newest first', 'listRuns', { isDefault: true })
  add(runs, 'show', 'one run with its steps and what it measured', 'showRun')
    .argument('<run>')
    .option('--points <file>', 'writes every measured point as .csv or .parquet')
  add(runs, 'track', 'tells trackers of a finished run, again or for the first time', 'trackRun')
    .argument('<run>')
    .option('-c, --config <file>', 'a config whose trackers are told (default: that of the run)')

  const models = program.command('models').description('registered versions and their aliases')
  add(models, 'list', 'every version', 'listModels', { isDefault: true }).argument('[name]')
  add(models, 'show', 'manifest of one version', 'showModel').argument('<model>', 'name, name@version or name@alias')
  add(models, 'promote', 'moves an alias to a version', 'promoteModel')
    .argument('<model>', 'name@version')
    .option('--alias <alias>', 'which', 'champion')
    .option('--reason <text>', 'why; kept with the move')
    .option('--force', 'also a version that a gate refused')
  add(models, 'rollback', 'moves an alias back to where it was', 'rollbackModel')
    .argument('<name>')
    .option('--alias <alias>', 'which', 'champion')
  dvc(
    add(models, 'dvc', 'a .dvc pointer to the bundle of a version', 'trackModel')
      .argument('<model>')
      .option('-c, --config <file>', 'a config that lists trusted keys'),
  )
  add(models, 'verify', 'signature and digests of a version', 'verifyModel')
    .argument('<model>')
    .option('-c, --config <file>', 'a config that lists trusted keys')

  add(program, 'predict', 'scores a file of candles or of feature columns', 'predict')
    .option('-c, --config <file>', 'a config that lists trusted keys')
    .requiredOption('--model <name>', 'name, name@version or name@alias')
    .requiredOption('--input <file>', '.csv or .parquet')
    .requiredOption('--out <file>', '.csv or .parquet')
  add(program, 'serve', 'answers predictions over HTTP', 'serve', { config: true })
    .option('--port <n>', 'default: that of the config', portNumber)
    .option('--host <address>', 'default: that of the config')

  const engine = program.command('engine').description("the engine's Python environment")
  add(engine, 'install', 'installs a group of dependencies', 'installEngine').argument(
    '<group>',
    'core, deep, track, dev',
  )
  add(engine, 'check', 'is it there, and which versions', 'checkEngine', { isDefault: true })
  return program
}

function number(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It must be a number.')
  return value
}

function wholeNumber(text: string): number {
  const value = number(text)
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError('It must be a whole number.')
  return value
}

function portNumber(text: string): number {
  const port = number(text)
  if (!Number.isInteger(port) || port < 0 || port > 65535)
    throw new InvalidArgumentError('It must be 0 (any free one) to 65535.')
  return port
}

const collect = (value: string, all: string[]) => [...all, value]

/** Loads the command's code now: `--help` answers at once. */
async function perform(name: keyof typeof Commands, options: Options): Promise<void> {
  const abort = new AbortController()
  const stop = () => {
    if (abort.signal.aborted) process.exit(EXIT.interrupted)
    abort.abort(interruption())
    // A server drains by its own time limits.
    if (name !== 'serve') setTimeout(() => process.exit(EXIT.interrupted), GRACE_MS).unref()
  }
  process.on('SIGINT', stop).on('SIGTERM', stop)
  try {
    const commands = await import('./commands.ts')
    const { json, text, exit = 0 } = await commands[name](options, { env: process.env, signal: abort.signal })
    if (!options.json) {
      if (text) process.stdout.write(`${text}\n`)
    } else if (json !== undefined) process.stdout.write(`${JSON.stringify(json)}\n`)
    process.exitCode = exit
  } catch (error) {
    // Whatever a stopped stage threw, it was stopped.
    process.exitCode = explain(abort.signal.aborted ? interruption() : error, options)
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop)
  }
}

/** Says what went wrong in a few lines and gives the exit code; a stack goes to the log only. */
function explain(error: unknown, { json }: Options): number {
  const known = error instanceof SluiceError ? error : undefined
  const code = codeOf(error)
  process.stderr.write(`error ${code}: ${messageOf(error)}\n${known?.next ? `next: ${known.next}\n` : ''}`)
  if (!known) process.stderr.write('this is a fault of sluice, not of your input\n')
  if (json) writeError({ code, message: messageOf(error), next: known?.next, detail: known?.detail })
  return known?.exit ?? EXIT.unexpected
}

const writeError = (error: { code: string; message: string; next?: string; detail?: unknown }): void => {
  process.stdout.write(`${JSON.stringify({ error })}\n`)
}
