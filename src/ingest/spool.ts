/**
 * A body of any size as a local file, in constant memory.
 *
 * What does not arrive whole leaves no file behind. The body itself is never destroyed here: with it
 * would go the connection, and the answer that says why.
 */

import { open, rm, type FileHandle } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { VectordError } from '../lib/errors.ts'

/** A client that sends nothing for so long is gone. */
const SILENCE_MS_MAX = 60_000

export interface SpoolOptions {
  readonly path: string
  readonly bytesMax: number
  /** What the client says that it sends; 0 where it says nothing. */
  readonly declaredBytes?: number
  /** Only for tests. */
  readonly silenceMsMax?: number
  /** Only for tests. */
  readonly openFile?: (path: string) => Promise<Pick<FileHandle, 'appendFile' | 'close'>>
}

/**
 * Writes `body` to a new file and answers how many bytes it has.
 *
 * @throws {VectordError} `body_too_large`, `storage_full`; `bad_request` where nothing came or the
 *   client went away.
 */
export async function spool(body: Readable, options: SpoolOptions): Promise<number> {
  const { path, openFile = (name: string) => open(name, 'wx', 0o600) } = options
  if ((options.declaredBytes ?? 0) > options.bytesMax) throw tooLarge(options.bytesMax)
  try {
    const file = await openFile(path)
    try {
      return await write(body, file, options)
    } finally {
      await file.close()
    }
  } catch (error) {
    await rm(path, { force: true })
    throw faultOf(error)
  }
}

async function write(
  body: Readable,
  file: Pick<FileHandle, 'appendFile'>,
  { bytesMax, silenceMsMax = SILENCE_MS_MAX }: SpoolOptions,
): Promise<number> {
  let bytes = 0
  const chunks = body.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>
  for (;;) {
    const next = await heard(chunks.next(), silenceMsMax)
    if (next.done === true) break
    bytes += next.value.byteLength
    if (bytes > bytesMax) throw tooLarge(bytesMax)
    await file.appendFile(next.value)
  }
  if (bytes === 0) throw new VectordError('bad_request', 'The body is empty.')
  return bytes
}

async function heard<T>(next: Promise<T>, silenceMsMax: number): Promise<T> {
  const silence = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    const message = `Nothing of the body came for ${silenceMsMax} ms.`
    silence.reject(new VectordError('bad_request', message))
  }, silenceMsMax)
  try {
    return await Promise.race([next, silence.promise])
  } finally {
    clearTimeout(timer)
    // It may fail later, when nobody listens.
    next.catch(() => null)
  }
}

export function tooLarge(bytesMax: number): VectordError {
  return new VectordError('body_too_large', `A file may have ${bytesMax} bytes at the most.`, {
    details: { limit: 'ingest.file_bytes_max', max: bytesMax },
  })
}

function faultOf(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : null
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new VectordError('storage_full', 'The disk is too full to take the file.')
  }
  if (code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'ABORT_ERR') {
    return new VectordError('bad_request', 'The body ended before it was whole.')
  }
  return error
}
