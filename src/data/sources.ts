// Where rows come from: a kind of source is one file and one row of this table.
import type { SourceContext, Sourced } from './rows.ts'
import type { SourceConfig } from './schema.ts'
import { readFileSource } from './source/file.ts'
import { readSimulated } from './source/simulated.ts'

type Read<Config> = (config: Config, context: SourceContext) => Promise<Sourced>

const SOURCES: { [Kind in SourceConfig['kind']]: Read<Extract<SourceConfig, { kind: Kind }>> } = {
  file: readFileSource,
  simulated: readSimulated,
}

export function readSource(config: SourceConfig, context: SourceContext): Promise<Sourced> {
  return (SOURCES[config.kind] as Read<SourceConfig>)(config, context)
}
