/**
 * Takes the secrets of a job out of what others wrote: a driver, a library, Node itself.
 *
 * Errors of our own name no secret. This is for the text of others, before it goes anywhere.
 */

import type { ErrorDetail, ErrorDetails } from '../lib/errors.ts'
import type { IngestJob } from './ingest-job.ts'

const MASK = '***'
/** A shorter secret would tear the text apart, and is none. */
const SECRET_CHARS_MIN = 3

export function withoutSecrets(text: string, { source }: Pick<IngestJob, 'source'>): string {
  if (source.kind !== 'sql') return text
  let clean = text
  for (const secret of secretsOf(source.dsn)) clean = clean.replaceAll(secret, MASK)
  return clean
}

/** The same details with clean texts: their names and numbers are ours. */
export function detailsWithoutSecrets(
  details: ErrorDetails,
  job: Pick<IngestJob, 'source'>,
): ErrorDetails {
  const clean = (detail: ErrorDetail): ErrorDetail => {
    if (typeof detail === 'string') return withoutSecrets(detail, job)
    if (typeof detail !== 'object' || detail === null) return detail
    if (isList(detail)) return detail.map(clean)
    return detailsWithoutSecrets(detail, job)
  }
  return Object.fromEntries(Object.entries(details).map(([name, detail]) => [name, clean(detail)]))
}

function isList(detail: ErrorDetail): detail is readonly ErrorDetail[] {
  return Array.isArray(detail)
}

/** Longest first: the whole goes before a part of it does. */
function secretsOf(dsn: string): string[] {
  // Without a parser: it may be no URL at all.
  const authority = /^[^:]*:\/\/(.*)@/s.exec(dsn)?.[1] ?? ''
  const password = authority.slice(authority.indexOf(':') + 1)
  return [dsn, password, decoded(password)].filter(({ length }) => length >= SECRET_CHARS_MIN)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
