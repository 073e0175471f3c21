// What a caller is told when a request fails: a status, a code, a pointer and the request's id. Never a path, a stack or a library's own words.
import type { FastifyError } from 'fastify'
import { SluiceError } from '../base/errors.ts'
import { escaped, type Problem } from './predict.ts'
import { INPUTS } from './protocol.ts'

export interface Fault {
  status: number
  code: string
  message: string
  pointer?: string
  problems?: Problem[]
  /** Rows that a key needs before it has an answer. */
  missing?: number
}

/** The faults that Fastify finds by itself. */
const FOUND_BY_FASTIFY: Record<string, Fault> = {
  FST_ERR_CTP_BODY_TOO_LARGE: {
    status: 413,
    code: 'BODY_TOO_LARGE',
    message: 'the body is larger than this server takes',
  },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: { status: 415, code: 'UNSUPPORTED_MEDIA_TYPE', message: 'send application/json' },
  FST_ERR_CTP_EMPTY_JSON_BODY: { status: 400, code: 'INVALID_JSON', message: 'the body is empty', pointer: '' },
  FST_ERR_CTP_INVALID_JSON_BODY: { status: 400, code: 'INVALID_JSON', message: 'the body is no JSON', pointer: '' },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
    status: 400,
    code: 'BODY_LENGTH',
    message: 'the body is not as long as announced',
  },
  FST_ERR_BAD_URL: { status: 400, code: 'BAD_URL', message: 'the path is no valid URL' },
}

/**
 * Our own errors that are not the caller's fault in the shape of the request. A 503 is repeated by clients and proxies by themselves:
 * warming up is none, whose rows would be pushed twice, and neither is what failed with a push before it, which has to come first.
 */
const STATUS: Record<string, number> = {
  UNAUTHORIZED: 401,
  MODEL_UNKNOWN: 404,
  NOT_FOUND: 404,
  WARMING_UP: 409,
  EARLIER_PUSH_FAILED: 409,
  OVERLOADED: 503,
}

/** By JSON Schema keyword; anything else is INVALID. */
const KEYWORDS: Record<string, string> = {
  required: 'MISSING_FIELD',
  additionalProperties: 'UNKNOWN_FIELD',
  type: 'WRONG_TYPE',
  maxItems: 'TOO_MANY_ROWS',
  minItems: 'NO_ROWS',
  oneOf: 'SEVERAL_INPUTS',
}

export function faultOf(error: unknown): Fault {
  if (error instanceof SluiceError) return ownFault(error)
  const { validation, code, statusCode = 500 } = error as FastifyError
  if (validation) return schemaFault(validation)
  if (code in FOUND_BY_FASTIFY) return FOUND_BY_FASTIFY[code]
  if (statusCode >= 400 && statusCode < 500)
    return { status: statusCode, code: 'BAD_REQUEST', message: 'the request is not valid' }
  return INTERNAL
}

/** A request that never became one: cut off or unreadable. */
export function connectionFault({ code }: NodeJS.ErrnoException): Fault {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return { status: 408, code: 'REQUEST_TIMEOUT', message: 'the request did not arrive in time' }
  if (code === 'HPE_HEADER_OVERFLOW')
    return { status: 431, code: 'HEADERS_TOO_LARGE', message: 'the headers are too large' }
  return { status: 400, code: 'BAD_REQUEST', message: 'this is no HTTP request' }
}

const INTERNAL: Fault = { status: 500, code: 'INTERNAL', message: 'the server failed; its log has this request id' }

function ownFault({ code, message, detail }: SluiceError): Fault {
  const { problems, missing } = (detail ?? {}) as Pick<Fault, 'problems' | 'missing'>
  if (problems) return { status: 400, code, message, pointer: problems[0].pointer, problems }
  return code in STATUS ? { status: STATUS[code], code, message, ...(missing !== undefined && { missing }) } : INTERNAL
}

type Violation = NonNullable<FastifyError['validation']>[number]

/** Of a choice that failed, the ways come first and the choice itself last. */
function schemaFault(violations: Violation[]): Fault {
  const last = violations.at(-1)!
  const several = last.keyword === 'oneOf' && last.params.passingSchemas
  const { keyword, instancePath, message, params } = several ? last : violations[0]
  const field = (params.missingProperty ?? params.additionalProperty) as string | undefined
  const pointer = field === undefined ? instancePath : `${instancePath}/${escaped(field)}`
  const code = KEYWORDS[keyword] ?? 'INVALID'
  const none = last.keyword === 'oneOf' && keyword === 'required'
  const what = several || none ? `holds ${none ? 'none' : 'several'} of ${INPUTS.join(', ')}` : message
  return { status: 400, code, message: `${instancePath || 'the body'} ${what}`, pointer }
}
