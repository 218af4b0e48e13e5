/**
 * Takes the secrets of a job out of a text, whoever wrote it: a driver, a library, Node itself.
 *
 * Errors of our own name no secret. This is for the text of others, before it goes anywhere.
 */

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
