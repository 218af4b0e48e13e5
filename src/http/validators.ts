/**
 * Request validation, stricter than Fastify's default.
 *
 * The default coerces and strips: `{"vector":[null]}` would be accepted as `[0]`, `5` as `[5]`, and
 * a misspelled field would vanish. A JSON body already has types, so nothing in it is converted;
 * only text (path, query, headers) is. Unknown fields are refused in both.
 *
 * Big bodies (points, searches) have parsers of their own, which are faster and name the row: their
 * schemas only document them, see `documentOnly`. Replies are documented by schemas too, but sent
 * as they are: a serialiser would drop what the schema forgot. Tests hold replies to their schemas.
 */

import { Ajv } from 'ajv'
import type { FastifyInstance } from 'fastify'

/** `verbose` keeps the schema beside each error, so that a message can name the known fields. */
const COMMON = { removeAdditional: false, useDefaults: true, verbose: true, strict: true } as const

// Shared by every app of the process: Ajv keeps what it compiled by schema object.
const typed = new Ajv({ ...COMMON, coerceTypes: false })
const text = new Ajv({ ...COMMON, coerceTypes: true })

const documentation = new WeakSet<object>()

/** Marks a body schema that describes the body in `/openapi.json` and does not check it. */
export function documentOnly<T extends object>(schema: T): T {
  documentation.add(schema)
  return schema
}

export function installValidators(app: FastifyInstance): void {
  app.setValidatorCompiler<object>(({ schema, httpPart }) => {
    if (documentation.has(schema)) return () => true
    return (httpPart === 'body' ? typed : text).compile(schema)
  })
  app.setSerializerCompiler(() => (data) => JSON.stringify(data))
}
