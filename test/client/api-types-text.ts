/**
 * The text of `client/api-types.ts`, made from the OpenAPI document of the real service.
 *
 * `npm run client:types` writes the file again after a change of a route, and a test fails where
 * that was forgotten.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import openapiTS, {
  astToString,
  type OpenAPI3,
  type OperationObject,
  type ResponseObject,
  type SchemaObject,
} from 'openapi-typescript'
import { pino } from 'pino'
import { format } from 'prettier'
import { buildApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config/load.ts'

export const API_TYPES_FILE = 'client/api-types.ts'

const HEADER = `/**
 * What goes over the wire, as \`/openapi.json\` says: written by \`npm run client:types\`.
 */

`

/** The document as the service answers it, all routes mounted. */
async function openApiDocument(): Promise<OpenAPI3> {
  const root = await mkdtemp(join(tmpdir(), 'vectord-types-'))
  try {
    const config = loadConfig({ env: { VECTORD_STORAGE_ROOT: root }, cwd: root })
    const app = await buildApp({ config, log: pino({ level: 'silent' }), nowMs: Date.now })
    try {
      const reply = await app.http.inject({ method: 'GET', url: '/openapi.json' })
      return reply.json<OpenAPI3>()
    } finally {
      await app.close()
    }
  } finally {
    await rm(root, { recursive: true, force: true, maxRetries: 5 })
  }
}

function routesOf(document: OpenAPI3): OperationObject[] {
  const paths = Object.values(document.paths ?? {}) as Record<string, OperationObject>[]
  return paths.flatMap((path) => Object.values(path))
}

/**
 * Every route can answer every error: the reply is described once, as `ErrorReply`, and not in each
 * of them.
 */
function withErrorsOnce(document: OpenAPI3): OpenAPI3 {
  let errorReply: SchemaObject | undefined
  for (const { responses = {} } of routesOf(document)) {
    for (const status of ['4XX', '5XX']) {
      const reply = responses[status] as ResponseObject | undefined
      errorReply ??= reply?.content?.['application/json']?.schema as SchemaObject | undefined
      Reflect.deleteProperty(responses, status)
    }
  }
  if (errorReply === undefined) throw new Error('no route describes its errors')
  return { ...document, components: { schemas: { ErrorReply: errorReply } } }
}

/** What has a default may be left out of a request; schemas of Fastify list it as required. */
function withOptionalDefaults(document: OpenAPI3): OpenAPI3 {
  for (const { parameters = [], requestBody } of routesOf(document)) {
    for (const parameter of parameters) {
      if ('schema' in parameter && hasDefault(parameter.schema)) parameter.required = false
    }
    relax(requestBody)
  }
  return document
}

function relax(schema: unknown): void {
  if (typeof schema !== 'object' || schema === null) return
  const { properties, required } = schema as {
    properties?: Record<string, unknown>
    required?: string[]
  }
  if (properties !== undefined && Array.isArray(required)) {
    Object.assign(schema, { required: required.filter((name) => !hasDefault(properties[name])) })
  }
  for (const part of Object.values(schema)) relax(part)
}

function hasDefault(schema: unknown): boolean {
  return typeof schema === 'object' && schema !== null && 'default' in schema
}

export async function renderApiTypes(): Promise<string> {
  const nodes = await openapiTS(withOptionalDefaults(withErrorsOnce(await openApiDocument())), {
    alphabetize: true,
    // Or else what has a default were no longer optional.
    defaultNonNullable: false,
  })
  const text = `${HEADER}${astToString(nodes)}`
  return format(text, {
    parser: 'typescript',
    ...{ semi: false, singleQuote: true, printWidth: 100, trailingComma: 'all' },
  })
}

if (import.meta.main) await writeFile(API_TYPES_FILE, await renderApiTypes())
