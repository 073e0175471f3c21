// The bodies of the HTTP contract as JSON Schema: they check the envelope of a request and make /openapi.json. The rows themselves are held to the model's manifest.
import type { ServeOptions } from './deploy.ts'

const requestId = { type: 'string', description: 'Stands beside every answer and in the server log.' }

const fault = {
  type: 'object',
  description: 'An error.',
  required: ['code', 'message', 'request_id'],
  properties: {
    code: { type: 'string' },
    message: { type: 'string' },
    request_id: requestId,
    pointer: { type: 'string', description: 'JSON pointer (RFC 6901) to the first value that is wrong.' },
    missing: { type: 'integer', description: 'Of WARMING_UP: how many rows the key needs yet.' },
    problems: {
      type: 'array',
      items: {
        type: 'object',
        required: ['code', 'pointer', 'message'],
        properties: { code: { type: 'string' }, pointer: { type: 'string' }, message: { type: 'string' } },
      },
    },
  },
}

const faults = { '4xx': fault, '5xx': fault }

const prediction = {
  anyOf: [
    {
      type: 'object',
      description: 'binary',
      required: ['probability', 'signal'],
      properties: { probability: { type: 'number' }, signal: { type: 'integer', enum: [-1, 0, 1] } },
    },
    {
      type: 'object',
      description: 'multiclass',
      required: ['class', 'probabilities'],
      properties: {
        class: { anyOf: [{ type: 'string' }, { type: 'number' }] },
        probabilities: { type: 'object', additionalProperties: { type: 'number' } },
      },
    },
    {
      type: 'object',
      description: 'regression',
      required: ['prediction'],
      properties: { prediction: { type: 'number' }, signal: { type: 'integer', enum: [-1, 0, 1] } },
    },
    {
      type: 'object',
      description: 'A row pushed under a key whose window was not full yet.',
      required: ['code', 'missing'],
      properties: { code: { type: 'string', const: 'WARMING_UP' }, missing: { type: 'integer' } },
    },
  ],
}

const predictAnswer = {
  type: 'object',
  description: 'One prediction per row or sequence, in order.',
  required: ['predictions', 'model', 'request_id'],
  properties: {
    predictions: { type: 'array', items: prediction },
    model: {
      type: 'object',
      required: ['name', 'version'],
      properties: { name: { type: 'string' }, version: { type: 'integer' } },
    },
    request_id: requestId,
  },
}

/** Of these a request has one. */
export const INPUTS = ['rows', 'sequence', 'sequences'] as const

const SEQUENCE =
  "as many rows as it reads, oldest first, each an object as in rows or an array of its values in the manifest's order."

const sequence = { type: 'array', items: {} }

export const predictSchema = ({ max_rows }: Pick<ServeOptions, 'max_rows'>) => ({
  summary: 'Predictions for rows of features, or for sequences of them',
  body: {
    type: 'object',
    // Typed, so that what is no object is told so before it is told what it lacks.
    oneOf: INPUTS.map(name => ({ type: 'object', required: [name] })),
    additionalProperties: false,
    properties: {
      model: { type: 'string', minLength: 1, maxLength: 64, description: 'The first model of this server if absent.' },
      rows: {
        type: 'array',
        minItems: 1,
        maxItems: max_rows,
        items: {
          type: 'object',
          description:
            'Every feature of the model and nothing else: a number, the word of a category (one that was never seen too), or null where the model allows a missing value.',
        },
      },
      sequence: { ...sequence, description: `One sequence, of a sequence model: ${SEQUENCE}` },
      sequences: {
        type: 'array',
        minItems: 1,
        maxItems: max_rows,
        items: { ...sequence, description: SEQUENCE },
      },
      key: {
        type: 'string',
        minLength: 1,
        maxLength: 256,
        description:
          'Requests with one key are answered by one variant. Rows for a sequence model need one: they are appended to the rows that the server keeps under it.',
      },
    },
  },
  response: { 200: predictAnswer, ...faults },
})

const statusOf = (description: string) => ({
  type: 'object',
  description,
  required: ['status'],
  properties: { status: { type: 'string' } },
})

export const healthSchema = { summary: 'The process lives', security: [], response: { 200: statusOf('It does.') } }

export const readySchema = {
  summary: 'The server takes requests',
  security: [],
  response: { 200: statusOf('It does.'), 503: statusOf('It is draining.') },
}

export const metricsSchema = {
  summary: 'Metrics in the Prometheus text format',
  produces: ['text/plain'],
  response: { 200: { type: 'string', description: 'A sample per line.' }, ...faults },
}

export const openapiSchema = {
  summary: 'This description',
  response: { 200: { type: 'object', description: 'OpenAPI 3.1.', additionalProperties: true }, ...faults },
}
