// The bodies of the HTTP contract as JSON Schema: they check the envelope of a request and make /openapi.json. The rows themselves are held to the model's manifest.
import type { ServeOptions } from './deploy.ts'

export interface PredictBody {
  model?: string
  rows: unknown[]
  key?: string
}

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
  ],
}

const predictAnswer = {
  type: 'object',
  description: 'One prediction per row, in order.',
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

export const predictSchema = ({ max_rows }: Pick<ServeOptions, 'max_rows'>) => ({
  summary: 'Predictions for rows of features',
  body: {
    type: 'object',
    required: ['rows'],
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
      key: {
        type: 'string',
        minLength: 1,
        maxLength: 256,
        description: 'Requests with one key are answered by one variant.',
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
