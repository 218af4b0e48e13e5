/**
 * The durable side of one index while this server owns it: its log and its checkpoints.
 *
 *     checkpoint (manifest at lsn c) + log records after c = the index
 *
 * The log reaches back to the oldest checkpoint that is kept: where the newest turns out damaged,
 * `fallBack` goes on from an older one, and nothing is lost.
 */

import { createHash } from 'node:crypto'
import type { ObjectStore } from '../buckets/object-store.ts'
import type { CheckpointContent, StoredFile } from '../domain/checkpoint.ts'
import type { VerifyFault } from '../domain/search.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import type { CheckpointStore } from '../log/checkpoint-store.ts'
import type { LogStore } from '../log/log-store.ts'

export interface IndexStorageOptions {
  readonly index: string
  readonly store: ObjectStore
  readonly log: LogStore
  readonly checkpoints: CheckpointStore
  /** Checkpoints that are kept. */
  readonly keep: number
  /** Called once at the end, after the log is closed. */
  readonly release: () => Promise<void>
  /** Told of failures that make nothing unsafe: an old object that could not be deleted. */
  readonly onTrouble: (error: unknown, what: string) => void
}

export class IndexStorage {
  readonly log: LogStore
  readonly #options: IndexStorageOptions
  /** Usable checkpoints, newest first; the first is the one to load. */
  #usable: readonly CheckpointContent[]
  readonly #lost = Promise.withResolvers<VectordError>()

  private constructor(options: IndexStorageOptions, usable: readonly CheckpointContent[]) {
    this.#options = options
    this.log = options.log
    this.#usable = usable
  }

  /**
   * @throws {VectordError} `log_corrupt` where the log ends before the newest checkpoint;
   *   `format_too_new` for any checkpoint; `object_corrupt` where none of those there can be read.
   */
  static async open(options: IndexStorageOptions): Promise<IndexStorage> {
    const { index, log, checkpoints, onTrouble } = options
    const found = await checkpoints.found()
    const usable = found.flatMap((checkpoint) =>
      'content' in checkpoint ? [checkpoint.content] : [],
    )
    const faults = found.flatMap((checkpoint) => ('fault' in checkpoint ? [checkpoint.fault] : []))
    for (const fault of faults) onTrouble(fault, `read a checkpoint of index "${index}"`)
    const [fault] = faults
    if (fault !== undefined && usable.length === 0) throw fault
    // Damage is gone round; a newer format means that a newer version served here, and is refused.
    const tooNew = faults.find(({ code }) => code === 'format_too_new')
    if (tooNew !== undefined) throw tooNew
    const newest = found[0]?.lsn ?? 0
    if (log.lastLsn < newest) {
      throw new VectordError(
        'log_corrupt',
        `The log of index "${index}" ends at lsn ${log.lastLsn}, before its checkpoint ${newest}.`,
        { details: { index, last_lsn: log.lastLsn, checkpoint_lsn: newest } },
      )
    }
    return new IndexStorage(options, usable)
  }

  get checkpoint(): CheckpointContent | null {
    return this.#usable[0] ?? null
  }

  get checkpointLsn(): number {
    return this.checkpoint?.lsn ?? 0
  }

  /** Resolves with the reason once this server may not write the index any more. */
  get lost(): Promise<VectordError> {
    return this.#lost.promise
  }

  lose(reason: VectordError): void {
    this.#lost.resolve(reason)
  }

  /** Gives up a checkpoint whose parts are damaged. @returns false where there is no older one. */
  fallBack(): boolean {
    if (this.#usable.length < 2) return false
    this.#usable = this.#usable.slice(1)
    return true
  }

  /** Makes the checkpoint exist; then gives up what nothing needs any more. */
  async saveCheckpoint(content: CheckpointContent): Promise<void> {
    const { checkpoints, keep, index, onTrouble } = this.#options
    await checkpoints.write(content)
    const older = this.#usable.filter(({ lsn }) => lsn < content.lsn)
    this.#usable = [content, ...older].slice(0, keep)
    try {
      await checkpoints.retain(keep)
      // With fewer than `keep` checkpoints the oldest way back is the log from its start.
      if (this.#usable.length === keep) await this.log.truncate(this.#usable.at(-1)?.lsn ?? 0)
    } catch (error) {
      onTrouble(error, `clear away old checkpoints of index "${index}"`)
    }
  }

  /** Reads log and checkpoint whole and compares them with their checksums. */
  async verify(): Promise<{
    readonly faults: readonly VerifyFault[]
    readonly logRecords: number
  }> {
    const faults: VerifyFault[] = []
    let logRecords = 0
    try {
      logRecords = (await this.log.verify()).records
    } catch (error) {
      faults.push(asFault('log', error))
    }
    const content = this.checkpoint
    const files = content === null ? [] : filesOf(content)
    for (const file of files) {
      const fault = await this.#verifyFile(file)
      if (fault !== null) faults.push(fault)
    }
    return { faults, logRecords }
  }

  async close(): Promise<void> {
    await this.log.close()
    await this.#options.release()
  }

  async #verifyFile(file: StoredFile): Promise<VerifyFault | null> {
    try {
      const bytes = await this.#options.store.get(file.key)
      const sha256 = createHash('sha256').update(bytes).digest('hex')
      if (bytes.length === file.bytes && sha256 === file.sha256) return null
      return { what: 'checkpoint', detail: `"${file.key}" is not what was written` }
    } catch (error) {
      return asFault(`checkpoint, "${file.key}"`, error)
    }
  }
}

function filesOf(content: CheckpointContent): StoredFile[] {
  return [...content.parts, ...content.graphs.flatMap(({ graph, labels }) => [graph, labels])]
}

/** What is damaged or gone is a finding; what cannot be reached is an error of the request. */
function asFault(what: string, error: unknown): VerifyFault {
  if (!hasCode(error, 'log_corrupt', 'object_corrupt', 'object_not_found')) throw error
  return { what, detail: error.message }
}
