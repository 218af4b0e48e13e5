/**
 * Data that takes long to derive, kept in `bench/cache/` (not in git) under a name that says what
 * it was derived from. A file is there whole or not at all.
 */

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const FOLDER = join(import.meta.dirname, '..', 'cache')

/** Path of the file `name`; where it is not there yet, `make` writes it to the path it is given. */
export async function cachedFile(
  name: string,
  make: (path: string) => Promise<void>,
): Promise<string> {
  const path = pathOf(name)
  if (!existsSync(path)) {
    const temporary = `${path}.${process.pid}`
    await make(temporary)
    renameSync(temporary, path)
  }
  return path
}

/** Path of the file of numbers `name`; where it is not there yet, it holds what `make` gives. */
export function cachedNumbers(name: string, make: () => Float32Array | Int32Array): string {
  const path = pathOf(name)
  if (!existsSync(path)) {
    const temporary = `${path}.${process.pid}`
    writeFileSync(temporary, bytesOf(make()))
    renameSync(temporary, path)
  }
  return path
}

export function readInt32(path: string): Int32Array {
  const bytes = readFileSync(path)
  const numbers = new Int32Array(bytes.length / Int32Array.BYTES_PER_ELEMENT)
  bytesOf(numbers).set(bytes)
  return numbers
}

/** 16 hexadecimal digits that change when any of the parts does. */
export function contentKey(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part).update('|')
  return hash.digest('hex').slice(0, 16)
}

export function bytesOf(numbers: Float32Array | Int32Array): Uint8Array {
  return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength)
}

function pathOf(name: string): string {
  mkdirSync(FOLDER, { recursive: true })
  return join(FOLDER, name)
}
