/**
 * The durable side of one index: its log and its checkpoints.
 *
 *     checkpoint (manifest at lsn c) + log records after c = the index
 *
 * The log reaches back to the oldest checkpoint that is kept: where the newest turns out damaged,
 * `recover` goes on from an older one, and nothing is lost. A follower only reads: what it knows is
 * replaced by the owner sooner or later, so it looks again (`refresh`).
 */

import { createHash } from 'node:crypto'
import type { ObjectStore } from '../buckets/object-store.ts'
import type { CheckpointContent, StoredFile } from '../domain/checkpoint.ts'
import type { VerifyFault } from '../domain/search.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import type { CheckpointStore, FoundCheckpoint } from '../log/checkpoint-store.ts'
import type { LogRecord, LogStore } from '../log/log-store.ts'
import type { IndexRole } from './index-api.ts'
import { notOwner } from './index-owner.ts'

const FIND_TRIES = 5

/** Who writes the index, as far as this server knows. */
export interface Holding {
  readonly role: IndexRole
  /** The id of the server that writes it; null where it is not known. */
  readonly owner: string | null
  /** Why a follower does not see new writes now, or null. */
  readonly fault: VectordError | null
}

/** Takes what the owner wrote, in lsn order. */
export interface RecordSink {
  /** False while so much waits that reading on would not help. */
  readonly hasRoom: boolean
  /** Resolves when the record is applied, or will be found in the log by what loads. */
  follow(record: LogRecord): Promise<void>
}

/** Asks what may go of old checkpoints, and is told what went. */
export interface CheckpointDropWork {
  doomed(lsns: readonly number[]): readonly number[]
  /** Resolves when the next deletion may be made. */
  turn(): Promise<void>
  deleted(bytes: number): void
}

export interface IndexStorageOptions {
  readonly index: string
  readonly store: ObjectStore
  readonly log: LogStore
  readonly checkpoints: CheckpointStore
  /** Checkpoints that are kept. */
  readonly keep: number
  /** The id of this server. */
  readonly server: string
  /** Only where the index may be written by another server. */
  readonly sharing?: {
    readonly holding: () => Holding
    /** Asks the bucket whether this server still writes the index. @throws `not_owner`. */
    readonly confirm: () => Promise<void>
    /** Reads what the owner writes, until closed. */
    readonly follow: (sink: RecordSink) => { close(): Promise<void> }
  }
  /** Called once at the end, after the log is closed. */
  readonly release: () => Promise<void>
  /** Told of failures that make nothing unsafe: an old object that could not be deleted. */
  readonly onTrouble: (error: unknown, what: string) => void
}

export class IndexStorage {
  #options: IndexStorageOptions
  /** Usable checkpoints, newest first; the first is the one to load. */
  #usable: readonly CheckpointContent[]
  /** Shards may use parts that no manifest names: a checkpoint is being made, or one has failed. */
  #unnamed = false
  /** Checkpoints before this lsn were given up by a compaction. */
  #aloneLsn = 0
  readonly #lost = Promise.withResolvers<VectordError>()
  #lostBy: VectordError | null = null

  private constructor(options: IndexStorageOptions, usable: readonly CheckpointContent[]) {
    this.#options = options
    this.#usable = usable
  }

  /**
   * @throws {VectordError} `log_corrupt` where the log ends before the newest checkpoint;
   *   `format_too_new` for any checkpoint; `object_corrupt` where none of those there can be read.
   */
  static async open(options: IndexStorageOptions): Promise<IndexStorage> {
    return new IndexStorage(options, await usableCheckpoints(options))
  }

  get log(): LogStore {
    return this.#options.log
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
    this.#lostBy ??= reason
    this.#lost.resolve(reason)
  }

  get holding(): Holding {
    const { sharing, server } = this.#options
    if (this.#lostBy === null) {
      return sharing?.holding() ?? { role: 'owner', owner: server, fault: null }
    }
    const { owner } = this.#lostBy.details
    return {
      role: 'follower',
      owner: typeof owner === 'string' ? owner : null,
      fault: this.#lostBy,
    }
  }

  /** @throws {VectordError} `not_owner` where another server writes the index. */
  checkOwned(): void {
    const { role, owner } = this.holding
    if (role === 'follower') throw notOwner(this.#options.index, owner)
  }

  /** Hands what the owner writes to `sink` until closed; an owner has nothing to hand over. */
  follow(sink: RecordSink): { close(): Promise<void> } {
    return this.#options.sharing?.follow(sink) ?? { close: () => Promise.resolve() }
  }

  /** Looks for checkpoints that another server wrote. @returns true where there is a newer one. */
  async refresh(): Promise<boolean> {
    const before = this.checkpointLsn
    this.#usable = await usableCheckpoints(this.#options)
    return this.checkpointLsn > before
  }

  /** The lsn up to which the log is not needed by any checkpoint that is there. */
  get oldestLsn(): number {
    return this.#usable.at(-1)?.lsn ?? 0
  }

  /**
   * Finds another checkpoint where parts of the present one are damaged or gone.
   *
   * @returns false where there is none.
   */
  async recover(): Promise<boolean> {
    if (this.holding.role === 'follower' && (await this.refresh())) return true
    if (this.#usable.length < 2) return false
    this.#usable = this.#usable.slice(1)
    return true
  }

  /**
   * Makes the checkpoint exist whose parts and graphs `write` writes.
   *
   * @param options.alone every older one is given up: the parts of this one were read back.
   */
  async saveCheckpoint(
    write: () => Promise<CheckpointContent>,
    { alone = false }: { readonly alone?: boolean } = {},
  ): Promise<CheckpointContent> {
    this.#unnamed = true
    const content = await write()
    this.checkOwned()
    await this.#options.checkpoints.write(content)
    if (alone) this.#aloneLsn = content.lsn
    const older = this.#usable.filter(({ lsn }) => lsn < content.lsn && lsn >= this.#aloneLsn)
    this.#usable = [content, ...older].slice(0, this.#options.keep)
    this.#unnamed = false
    return content
  }

  /**
   * Deletes old checkpoints, and parts and graphs that none names. Those that are to be kept stay
   * whatever is asked, and the one that the index stands on. No checkpoint may be made meanwhile.
   *
   * @throws {VectordError} `not_owner`, and what the bucket throws.
   */
  async dropCheckpoints(work: CheckpointDropWork): Promise<void> {
    this.checkOwned()
    // The next checkpoint names what shards use: then there is nothing to be mistaken about.
    if (this.#unnamed) return
    const { checkpoints, store, keep, sharing } = this.#options
    const inUse = this.checkpointLsn
    await checkpoints.drop({
      doomed: (lsns) => {
        const wanted = lsns.filter((lsn) => lsn >= this.#aloneLsn).slice(-keep)
        const kept = new Set([...wanted, inUse])
        return work.doomed(lsns).filter((lsn) => !kept.has(lsn))
      },
      confirm: async () => sharing?.confirm(),
      deleting: async ({ key, bytes }) => {
        await work.turn()
        this.checkOwned()
        await store.delete(key)
        work.deleted(bytes)
      },
    })
  }

  /**
   * Gives up the log before `lsn`, as far as none of the checkpoints that are kept needs it.
   *
   * @throws {VectordError} `not_owner`, and what the bucket throws.
   */
  async dropLog(beforeLsn: number, onDeleted: (bytes: number) => void): Promise<void> {
    this.checkOwned()
    // With fewer than `keep` checkpoints the oldest way back is the log from its start.
    const oldest = this.#usable[this.#options.keep - 1]?.lsn ?? this.#aloneLsn
    await this.log.truncate(Math.min(oldest, beforeLsn - 1), onDeleted)
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

  /**
   * Goes on as `other`, which was opened where the index lives now and holds the same: whoever has
   * this one need not notice. Nothing may be appended or checkpointed meanwhile.
   */
  async become(other: IndexStorage): Promise<void> {
    const { log, release } = this.#options
    this.#options = other.#options
    this.#usable = other.#usable
    void other.lost.then((reason) => {
      this.lose(reason)
    })
    await log.close()
    await release()
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

/** Those that can be read, newest first. @throws as `IndexStorage.open`. */
async function usableCheckpoints(options: IndexStorageOptions): Promise<CheckpointContent[]> {
  const { index, log, onTrouble } = options
  const found = await foundCheckpoints(options)
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
  // A follower may not have read so far yet.
  if (options.sharing?.holding().role === 'follower') return usable
  if (log.lastLsn < newest) {
    throw new VectordError(
      'log_corrupt',
      `The log of index "${index}" ends at lsn ${log.lastLsn}, before its checkpoint ${newest}.`,
      { details: { index, last_lsn: log.lastLsn, checkpoint_lsn: newest } },
    )
  }
  return usable
}

async function foundCheckpoints({ checkpoints }: IndexStorageOptions): Promise<FoundCheckpoint[]> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await checkpoints.found()
    } catch (error) {
      // The owner replaced one between its listing and its reading: there are newer ones.
      if (!hasCode(error, 'object_not_found') || tries === FIND_TRIES) throw error
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
