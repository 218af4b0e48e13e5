/**
 * Exact search behind the `VectorIndex` contract: ground truth, and small indexes.
 *
 *     file: "VDFLAT1\n" | dimension u32 | rows u32 | rows × label u32 | rows × removed u8
 *           | rows × dimension × f32; little-endian
 */

import { open, rm } from 'node:fs/promises'
import type { Metric } from '../../domain/metric.ts'
import { VectordError } from '../../lib/errors.ts'
import { invariant } from '../../lib/invariant.ts'
import { Bitmap } from '../bitmap.ts'
import { TopK } from '../top-k.ts'
import type { Neighbors, VectorIndex } from '../vector-index.ts'
import { checkVector, VectorChunks } from './vector-chunks.ts'

const MAGIC = Buffer.from('VDFLAT1\n')
const LABEL_MAX = 0xffff_ffff

export class FlatIndex implements VectorIndex {
  readonly dimension: number
  readonly #metric: Metric
  readonly #vectors: VectorChunks
  readonly #live = new Bitmap()
  readonly #labels: number[] = []
  readonly #top = new TopK()
  #size = 0

  constructor(dimension: number, metric: Metric) {
    this.dimension = dimension
    this.#metric = metric
    this.#vectors = new VectorChunks(dimension, metric)
  }

  get elements(): number {
    return this.#labels.length
  }

  get size(): number {
    return this.#size
  }

  get memoryBytes(): number {
    return this.#vectors.memoryBytes + this.#labels.length * 9
  }

  add(label: number, vector: Float32Array): void {
    checkVector(vector, this.dimension, this.#metric)
    const last = this.#labels.at(-1) ?? -1
    invariant(
      Number.isInteger(label) && label > last && label <= LABEL_MAX,
      'labels grow and fit 32 bits',
    )
    const row = this.#vectors.append(vector, 0)
    this.#labels.push(label)
    this.#live.reserve(row + 1)
    this.#live.add(row)
    this.#size += 1
  }

  remove(label: number): void {
    const row = this.#rowOf(label)
    invariant(row !== -1 && this.#live.has(row), 'a label that is removed is there')
    this.#live.delete(row)
    this.#size -= 1
  }

  search(query: Float32Array, k: number): Neighbors {
    const prepared = this.#vectors.prepare(query)
    this.#top.reset(k)
    const range = { from: 0, to: this.#labels.length }
    this.#vectors.scan(prepared, this.#live.words, range, this.#top)
    const { numbers, distances } = this.#top.drain()
    return { labels: numbers.map((row) => this.#labels[row] ?? -1), distances }
  }

  async save(path: string): Promise<void> {
    try {
      const file = await open(path, 'w')
      try {
        await file.writev(this.#serialised())
        await file.sync()
      } finally {
        await file.close()
      }
    } catch (cause) {
      await rm(path, { force: true })
      throw new VectordError('storage_error', 'The index could not be saved.', { cause })
    }
  }

  #serialised(): Uint8Array[] {
    const rows = this.#labels.length
    const removed = Uint8Array.from({ length: rows }, (_, row) => (this.#live.has(row) ? 0 : 1))
    const vectors = Array.from({ length: rows }, (_, row) => bytesOf(this.#vectors.view(row)))
    return [
      MAGIC,
      bytesOf(Uint32Array.of(this.dimension, rows)),
      bytesOf(Uint32Array.from(this.#labels)),
      removed,
      ...vectors,
    ]
  }

  #rowOf(label: number): number {
    let low = 0
    let high = this.#labels.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#labels[middle] ?? 0) < label) low = middle + 1
      else high = middle
    }
    return this.#labels[low] === label ? low : -1
  }
}

/** @throws {VectordError} `object_corrupt` where the file is not what `save` wrote. */
export async function loadFlat(
  path: string,
  { dimension, metric }: { readonly dimension: number; readonly metric: Metric },
): Promise<FlatIndex> {
  const bytes = await readWhole(path)
  const view = new DataView(bytes.buffer)
  const head = MAGIC.length + 8
  const damaged =
    bytes.length < head ||
    !MAGIC.equals(bytes.subarray(0, MAGIC.length)) ||
    view.getUint32(MAGIC.length, true) !== dimension ||
    bytes.length !== head + view.getUint32(MAGIC.length + 4, true) * (5 + 4 * dimension)
  if (damaged) throw new VectordError('object_corrupt', 'The file holds no such flat index.')
  const rows = view.getUint32(MAGIC.length + 4, true)
  const index = new FlatIndex(dimension, metric)
  for (let row = 0; row < rows; row += 1) {
    const at = head + rows * 5 + row * dimension * 4
    const label = view.getUint32(head + row * 4, true)
    index.add(label, new Float32Array(bytes.buffer.slice(at, at + dimension * 4)))
    if (bytes[head + rows * 4 + row] === 1) index.remove(label)
  }
  return index
}

async function readWhole(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const file = await open(path, 'r')
  try {
    const bytes = new Uint8Array((await file.stat()).size)
    await file.read(bytes, 0, bytes.length, 0)
    return bytes
  } finally {
    await file.close()
  }
}

function bytesOf(array: Float32Array | Uint32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}
