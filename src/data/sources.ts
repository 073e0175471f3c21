// Where rows come from: a kind of source is one file and one row of this table.

import type { DataSchema } from './columns.ts'
import type { Source, SourceContext } from './rows.ts'
import type { SourceConfig } from './schema.ts'
import { readBinance } from './source/binance.ts'
import { readFearGreed } from './source/feargreed.ts'
import { readFileSource } from './source/file.ts'
import { readHttp } from './source/http.ts'
import { readPostgres } from './source/postgres.ts'
import { readSimulated } from './source/simulated.ts'

type Read<Config> = (config: Config, schema: DataSchema, context: SourceContext) => Source

const SOURCES: { [Kind in SourceConfig['kind']]: Read<Extract<SourceConfig, { kind: Kind }>> } = {
  binance: readBinance,
  feargreed: readFearGreed,
  file: readFileSource,
  http: readHttp,
  postgres: readPostgres,
  simulated: readSimulated,
}

export function openSource(config: SourceConfig, schema: DataSchema, context: SourceContext): Source {
  return (SOURCES[config.kind] as Read<SourceConfig>)(config, schema, context)
}
