/**
 * Rows of float32 in a file, named so that other processes can read the same ones.
 *
 * A file is the rows one after the other, little-endian, without a header.
 */

import { closeSync, openSync, readSync } from 'node:fs'

/** `rows` rows of the file from row `first` on; plain data that travels between processes. */
export interface VectorsRef {
  readonly file: string
  readonly first: number
  readonly rows: number
  readonly dimension: number
}

export interface Vectors {
  readonly ref: VectorsRef
  readonly rows: number
  readonly dimension: number
  /** Row after row. */
  readonly data: Float32Array
}

const READ_BYTES = 2 ** 28

export function readVectors(ref: VectorsRef): Vectors {
  const { file, first, rows, dimension } = ref
  const data = new Float32Array(rows * dimension)
  const bytes = new Uint8Array(data.buffer)
  const fd = openSync(file, 'r')
  try {
    for (let at = 0; at < bytes.length;) {
      const length = Math.min(READ_BYTES, bytes.length - at)
      const read = readSync(fd, bytes, at, length, first * dimension * 4 + at)
      if (read === 0) throw new Error(`${file} ends before row ${first + rows}`)
      at += read
    }
  } finally {
    closeSync(fd)
  }
  return { ref, rows, dimension, data }
}

export function rowOf(vectors: Vectors, row: number): Float32Array {
  return vectors.data.subarray(row * vectors.dimension, (row + 1) * vectors.dimension)
}

/** A copy whose rows have length 1; a zero row stays. */
export function normalized(vectors: Vectors): Float32Array {
  const { data, rows, dimension } = vectors
  const out = new Float32Array(data.length)
  for (let row = 0; row < rows; row += 1) {
    const start = row * dimension
    let squares = 0
    for (let i = start; i < start + dimension; i += 1) squares += (data[i] ?? 0) ** 2
    const scale = squares === 0 ? 0 : 1 / Math.sqrt(squares)
    for (let i = start; i < start + dimension; i += 1) out[i] = (data[i] ?? 0) * scale
  }
  return out
}
