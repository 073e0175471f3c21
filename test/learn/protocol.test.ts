// The golden messages of protocol/ against its schema. The engine's own tests hold the same messages to the engine's types.
import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, it } from 'vitest'

const read = (path: string) => JSON.parse(readFileSync(new URL(`../../protocol/${path}`, import.meta.url), 'utf8'))
const ajv = new Ajv2020({ allErrors: true, allowUnionTypes: true, strictTypes: false })
ajv.addSchema(read('engine.schema.json'))

type Case = { why: string; message: unknown }

describe.each(['request', 'event'])('a golden %s', kind => {
  const validate = ajv.compile({ $ref: `engine.schema.json#/$defs/${kind}` })
  const cases = (which: string): Case[] => read(`golden/${kind}s.${which}.json`)

  it.each(cases('valid'))('is valid: $why', ({ message }) => {
    expect(validate(message), ajv.errorsText(validate.errors)).toBe(true)
  })

  it.each(cases('invalid'))('is invalid: $why', ({ message }) => {
    expect(validate(message)).toBe(false)
  })
})
