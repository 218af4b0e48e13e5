/**
 * TLS to a database server, as the mode of the DSN wants it.
 */

import type { Stats } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { VectordError } from '../../lib/errors.ts'
import type { SqlDsn } from './dsn.ts'

/** Null: without TLS. */
export interface TlsSettings {
  /** Whether the certificate must be signed by somebody who is trusted. */
  readonly verifies: boolean
  /** Whether it must also name the host. */
  readonly verifiesHost: boolean
  /** PEM; left out: the certificates of the runtime. */
  readonly ca?: string
}

const ROOT_BYTES_MAX = 1024 * 1024

/** @throws {VectordError} `bad_request` where the file with the trusted certificates cannot be used. */
export async function tlsSettings(dsn: SqlDsn): Promise<TlsSettings | null> {
  const { tlsMode, tlsRootPath } = dsn
  if (tlsMode === 'disable') return null
  const ca = tlsRootPath === null ? {} : { ca: await readRoot(tlsRootPath) }
  const verifiesHost = tlsMode === 'verify-full'
  return { verifies: verifiesHost || tlsMode === 'verify-ca', verifiesHost, ...ca }
}

async function readRoot(path: string): Promise<string> {
  // The content is shown to nobody: the path comes from a request, and may name any file.
  const isFile = await stat(path).then(isSmallFile, () => false)
  const text = isFile ? await readFile(path, 'utf8').catch(() => '') : ''
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text
  throw new VectordError('bad_request', '`sslrootcert` names no readable file of certificates.', {
    details: { field: 'dsn' },
  })
}

/** A device may have no end, and a pipe no beginning. */
function isSmallFile(file: Stats): boolean {
  return file.isFile() && file.size <= ROOT_BYTES_MAX
}
