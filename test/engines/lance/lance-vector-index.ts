/**
 * A Lance table as a `VectorIndex` whose answers come later: labels are ids, and what was added
 * or removed since the last question is one append and one delete.
 */

import { mkdtempSync } from 'node:fs'
import { cp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LanceIndexKind, LanceTableSpec } from '../../../src/domain/lance-table.ts'
import type { Metric } from '../../../src/domain/metric.ts'
import type { Neighbors } from '../../../src/engines/vector-index.ts'
import { VectordError } from '../../../src/lib/errors.ts'
import type { IndexUnderTest } from '../vector-index.suite.ts'
import { newEngine, rowsOf, searchOf, specOf } from './lance-world.ts'

export class LanceVectorIndex implements IndexUnderTest {
  readonly elements = 0
  readonly memoryBytes = 0
  readonly #spec: LanceTableSpec
  readonly #kind: LanceIndexKind | null
  readonly #table
  #added: { readonly label: number; readonly vector: Float32Array }[] = []
  readonly #removed: string[] = []
  #isBuilt = false

  private constructor(spec: LanceTableSpec, kind: LanceIndexKind | null) {
    this.#spec = spec
    this.#kind = kind
    this.#table = newEngine().table(spec)
  }

  static async open(
    folder: string,
    kind: LanceIndexKind | null,
    { dimension, metric }: { dimension: number; metric: Metric },
  ): Promise<LanceVectorIndex> {
    const root = mkdtempSync(join(folder, 'bucket-'))
    const spec = specOf({ backend: 'local', root }, { dimension, metric })
    const index = new LanceVectorIndex(spec, kind)
    await index.#table.create()
    return index
  }

  static async load(path: string, kind: LanceIndexKind | null): Promise<LanceVectorIndex> {
    return new LanceVectorIndex(JSON.parse(await readFile(path, 'utf8')) as LanceTableSpec, kind)
  }

  get size(): Promise<number> {
    return this.#flushed().then(async () => (await this.#table.count(null)).count)
  }

  add(label: number, vector: Float32Array): void {
    if (vector.length !== this.#spec.dimension) {
      throw new VectordError('vector_dimension_mismatch', 'The rows of a table are of one length.')
    }
    this.#added.push({ label, vector })
  }

  remove(label: number): void {
    this.#removed.push(String(label))
  }

  async search(query: Float32Array, k: number, ef: number): Promise<Neighbors> {
    await this.#flushed()
    const settings = { k, ef, nprobes: 32, refineFactor: 10 }
    const { hits } = await this.#table.search(searchOf(query, settings))
    return {
      labels: hits.map(({ id }) => Number(id)),
      distances: hits.map(({ distance }) => distance),
    }
  }

  /** The files of a table are what is saved: the path gets a copy's address. */
  async save(path: string): Promise<void> {
    await this.#flushed()
    const { bucket } = this.#spec
    if (bucket.backend !== 'local') throw new TypeError('these tables are local')
    await cp(bucket.root, `${path}.bucket`, { recursive: true })
    const copy = { ...this.#spec, bucket: { ...bucket, root: `${path}.bucket` } }
    await writeFile(path, JSON.stringify(copy))
  }

  async #flushed(): Promise<void> {
    const { dimension } = this.#spec
    const added = this.#added
    this.#added = []
    const vectors = new Float32Array(added.length * dimension)
    for (const [row, { vector }] of added.entries()) vectors.set(vector, row * dimension)
    const ids = added.map(({ label }) => String(label))
    await this.#table.append(rowsOf(ids, { dimension, vectors }))
    if (this.#kind !== null && !this.#isBuilt && added.length >= 256) {
      await this.#table.buildIndex(this.#kind)
      this.#isBuilt = true
    }
    await this.#table.delete(this.#removed.splice(0))
  }
}
