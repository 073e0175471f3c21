// Where rows come from: a kind of source is one file and one row of this table.
import type { Source, SourceContext } from './rows.ts'
import type { DataSchema, SourceConfig } from './schema.ts'
import { readFileSource } from './source/file.ts'
import { readPostgres } from './source/postgres.ts'
import { readSimulated } from './source/simulated.ts'

type Read<Config> = (config: Config, schema: DataSchema, context: SourceContext) => Source

const SOURCES: { [Kind in SourceConfig['kind']]: Read<Extract<SourceConfig, { kind: Kind }>> } = {
  file: readFileSource,
  postgres: readPostgres,
  simulated: readSimulated,
}

export function openSource(config: SourceConfig, schema: DataSchema, context: SourceContext): Source {
  return (SOURCES[config.kind] as Read<SourceConfig>)(config, schema, context)
}
