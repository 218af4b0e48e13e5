/**
 * One index: its points, its configuration, its upkeep.
 */

import { IndexPoints } from './index-points.ts'
import { IndexTuning } from './index-tuning.ts'
import type { Operations, WaitOptions } from './operations.ts'
import {
  exportTable,
  ingestTable,
  type ExportedFile,
  type ExportOptions,
  type IngestColumns,
  type Ingested,
  type TableFile,
} from './table-files.ts'
import { pathOf, type Transport } from './transport.ts'
import type { Answer, CallOptions, Checkpoint, IndexHealth, Verification } from './types.ts'

type Started = Answer<'/vectors/indexes/{index}/verify', 'post', 202>

export class IndexHandle extends IndexPoints {
  readonly name: string
  readonly tuning: IndexTuning
  readonly #transport: Transport
  readonly #operations: Operations

  constructor(transport: Transport, operations: Operations, name: string) {
    super(transport, name)
    this.name = name
    this.tuning = new IndexTuning(transport, operations, name)
    this.#transport = transport
    this.#operations = operations
  }

  health(options?: CallOptions): Promise<IndexHealth> {
    const path = pathOf`/vectors/indexes/${this.name}/health`
    return this.#transport.json({ method: 'GET', path, again: 'repeatable', options })
  }

  /** All points, or those that match, as a file: a stream of its bytes. */
  exportFile(options: ExportOptions = {}): Promise<ExportedFile> {
    return exportTable(this.#transport, this.name, options)
  }

  /** Fills the index from a file whose columns are named; waits for it. See `ingestTable`. */
  ingestFile(
    file: TableFile,
    columns: IngestColumns,
    options: WaitOptions = {},
  ): Promise<Ingested> {
    const service = { transport: this.#transport, operations: this.#operations }
    return ingestTable(service, { index: this.name, file, columns }, options)
  }

  /** Writes a checkpoint now, and waits for it. */
  checkpoint(options: WaitOptions = {}): Promise<Checkpoint> {
    return this.#run(pathOf`/vectors/indexes/${this.name}/checkpoint`, options)
  }

  /** Checks log, checkpoint and graph against each other, and waits for it. */
  verify(options: WaitOptions = {}): Promise<Verification> {
    return this.#run(pathOf`/vectors/indexes/${this.name}/verify`, options)
  }

  async #run<T>(path: string, options: WaitOptions): Promise<T> {
    // Both change nothing that a second run would not: a lost answer may be asked for again.
    const call = { method: 'POST', path, again: 'repeatable', options } as const
    const { operation_id: id } = await this.#transport.json<Started>(call)
    const { result } = await this.#operations.wait(id, options)
    return result as T
  }
}
