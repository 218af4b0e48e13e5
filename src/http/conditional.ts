/**
 * `ETag` and `If-Match`: a change is made only to the revision that its author has seen.
 */

import type { FastifyRequest } from 'fastify'
import { VectordError } from '../lib/errors.ts'

const STRONG = /^"(0|[1-9]\d{0,14})"$/

export function etagOf(revision: number): string {
  return `"${revision}"`
}

/**
 * The revision that the request insists on; null where it names none or `*`.
 *
 * @throws {VectordError} `bad_request` for what is no single ETag of ours, `revision_mismatch` for
 * a weak one, which by RFC 9110 never matches.
 */
export function ifMatch(request: FastifyRequest): number | null {
  const header = request.headers['if-match']?.trim()
  if (header === undefined || header === '*') return null
  if (header.startsWith('W/')) {
    throw new VectordError('revision_mismatch', 'A weak ETag never matches: send the strong one.')
  }
  const revision = STRONG.exec(header)?.[1]
  if (revision === undefined) {
    throw new VectordError('bad_request', 'If-Match must be one ETag as a reply sent it, or *.', {
      details: { part: 'headers', field: 'if-match' },
    })
  }
  return Number(revision)
}
