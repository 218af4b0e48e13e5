/**
 * Indexes that are there whole or not at all: restores of snapshots, migrations, new Lance tables.
 *
 *     reserve: `restoring` ─▶ parts, graphs ─▶ checkpoint ─▶ log ─▶ ACTIVE ─▶ serves
 *                   │     ─▶ log or table ─▶ points ───────────▶ ACTIVE: serves already
 *                   ╰───────────┴── failed, crashed ──┴──▶ `deleting` ─▶ its objects go, then the meta
 *
 * The change from `restoring` to `active` is one compare-and-swap: before it there is no index, after
 * it there is the whole one. Meanwhile the name is taken. What a crash left is cleared away by the
 * server that began it, at its next look; by any other a day later, for it cannot tell a crash from
 * slow work, which then finds its meta changed.
 */

import { randomUUID } from 'node:crypto'
import type { ObjectStore } from '../buckets/object-store.ts'
import type { Revision } from '../buckets/revisioned-document.ts'
import type { CheckpointContent } from '../domain/checkpoint.ts'
import { checkName } from '../domain/names.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { CheckpointStore } from '../log/checkpoint-store.ts'
import type { IndexSettings, ManagedIndex } from './index-api.ts'
import { metaDocument, type IndexMeta } from './index-meta.ts'
import { deleteIndexObjects } from './index-objects.ts'
import { indexExists } from './index-refusals.ts'
import type { AnyRunner } from './known-indexes.ts'
import type { LanceIndex } from './lance-index.ts'
import type { ServedIndex } from './served-index.ts'

/** So long after its begin a restore of another server counts as crashed. */
const FOREIGN_AGE_MS = 24 * 3600 * 1000

export interface IndexArrivalsOptions {
  /** Id of this server. */
  readonly server: string
  readonly nowMs: () => number
  /** Makes the log of the index that `meta` describes; it goes on after `baseLsn`. */
  readonly beginLog: (meta: IndexMeta, baseLsn: number) => Promise<void>
  /** Makes the empty table of the Lance index that `meta` describes. */
  readonly beginTable: (meta: IndexMeta) => Promise<void>
  readonly onTrouble: (error: unknown, what: string) => void
}

/** An index that is to be, and where it comes from: its objects, or its points. */
export type BringIndex = ArrivingIndex & (FilledIndex | WrittenIndex)

interface ArrivingIndex {
  readonly settings: IndexSettings
  /** Who asks for it. */
  readonly by: string
  /** Why, for the revisions of its meta. */
  readonly reason: string
}

interface FilledIndex {
  /**
   * Brings its parts, its graphs and what else belongs to it into its bucket, where nothing of that
   * name is. @returns the checkpoint that names them; null for an empty index that was never written.
   */
  readonly fill: (meta: IndexMeta) => Promise<CheckpointContent | null>
}

interface WrittenIndex {
  /** Writes its points into the index itself, which nobody else sees before this resolves. */
  readonly write: (index: ServedIndex | LanceIndex) => Promise<void>
}

/** What the registry lends. */
export interface ArrivalHands {
  /** Runs `work` as the one change of the index. */
  readonly turn: <T>(name: string, work: () => Promise<T>) => Promise<T>
  /** @throws {VectordError} `index_exists`, `limit_exceeded`, `bucket_unreachable`. */
  readonly checkFree: (name: string) => void
  /** @throws {VectordError} `bucket_not_found`, `bucket_protected`, `bucket_unreachable`. */
  readonly homeStore: (bucket: string) => ObjectStore
  readonly serve: (stored: Revision<IndexMeta>) => Promise<ManagedIndex>
  /** Makes what serves it, without letting anybody know; to be started. */
  readonly makeRunner: (stored: Revision<IndexMeta>) => AnyRunner
  /** Lets everybody know of what serves. */
  readonly adopt: (runner: AnyRunner) => void
  /** Clears everything of the index away whose meta is `deleting`. */
  readonly finishDeletion: (store: ObjectStore, stored: Revision<IndexMeta>) => Promise<void>
}

export class IndexArrivals {
  readonly #options: IndexArrivalsOptions
  /** Bucket of each index that this process brings now. */
  readonly #alive = new Map<string, string>()

  constructor(options: IndexArrivalsOptions) {
    this.#options = options
  }

  /** The bucket of an index that is being brought; null for any other. */
  bucketOf(name: string): string | null {
    return this.#alive.get(name) ?? null
  }

  /** Names of those that are being brought into `bucket`. */
  namesIn(bucket: string): string[] {
    return [...this.#alive].flatMap(([name, home]) => (home === bucket ? [name] : []))
  }

  /**
   * Where it throws there is no index of that name, or it goes as soon as its bucket answers; only
   * after `bucket_unreachable` it may be there all the same, whole.
   *
   * @throws {VectordError} as `ArrivalHands`, and what `fill` throws.
   */
  async bring(wish: BringIndex, hands: ArrivalHands): Promise<ManagedIndex> {
    const { name, bucket } = wish.settings
    checkName('index', name)
    const store = hands.homeStore(bucket)
    const reserved = await hands.turn(name, async () => {
      hands.checkFree(name)
      const stored = await this.#reserve(store, wish)
      this.#alive.set(name, bucket)
      return stored
    })
    try {
      // Of an index that had the name before; what another one brought would not be believed.
      await deleteIndexObjects(store, name)
      if ('write' in wish) return await this.#writeInto(store, reserved, wish, hands)
      await this.#begin(store, reserved.document, await wish.fill(reserved.document))
      return await hands.turn(name, async () => {
        return hands.serve(await this.#activate(store, reserved, wish))
      })
    } catch (error) {
      if (error instanceof VectordError) await this.#giveUp(store, reserved, hands)
      throw error
    } finally {
      this.#alive.delete(name)
    }
  }

  /** Clears away what a crash left of an index that was being brought. @throws as the bucket. */
  async settle(
    store: ObjectStore,
    stored: Revision<IndexMeta>,
    hands: ArrivalHands,
  ): Promise<void> {
    const { restoredBy, createdMs } = stored.document
    const { server, nowMs } = this.#options
    if (restoredBy !== server && nowMs() - createdMs < FOREIGN_AGE_MS) return
    await this.#clear(store, stored, hands)
  }

  async #writeInto(
    store: ObjectStore,
    reserved: Revision<IndexMeta>,
    wish: ArrivingIndex & WrittenIndex,
    hands: ArrivalHands,
  ): Promise<ManagedIndex> {
    const { name } = wish.settings
    const { beginLog, beginTable } = this.#options
    if (reserved.document.backend === 'lance') await beginTable(reserved.document)
    else await beginLog(reserved.document, 0)
    const runner = hands.makeRunner(reserved)
    try {
      runner.start()
      await runner.settled
      await wish.write(runner.index)
      return await hands.turn(name, async () => {
        const stored = await this.#activate(store, reserved, wish)
        runner.index.changeMeta(stored.document, stored.revision)
        hands.adopt(runner)
        return runner.index
      })
    } catch (error) {
      await runner.close({ checkpoint: false })
      throw error
    }
  }

  #activate(
    store: ObjectStore,
    { document, revision }: Revision<IndexMeta>,
    { by, reason }: ArrivingIndex,
  ): Promise<Revision<IndexMeta>> {
    const change = { document: activated(document), author: by, reason }
    return metaDocument(store, document.name).update(revision, change)
  }

  #reserve(store: ObjectStore, { settings, by, reason }: BringIndex): Promise<Revision<IndexMeta>> {
    const { server, nowMs } = this.#options
    const document: IndexMeta = {
      ...settings,
      incarnation: randomUUID(),
      createdMs: nowMs(),
      state: 'restoring',
      restoredBy: server,
    }
    return metaDocument(store, settings.name).modify((current) => {
      if (current !== null) throw indexExists(settings.name)
      return { document, author: by, reason }
    })
  }

  async #begin(
    store: ObjectStore,
    meta: IndexMeta,
    content: CheckpointContent | null,
  ): Promise<void> {
    const { name: index, incarnation } = meta
    const { nowMs, beginLog } = this.#options
    if (content !== null) {
      await new CheckpointStore({ store, index, incarnation, nowMs }).write(content)
    }
    await beginLog(meta, content?.lsn ?? 0)
  }

  /** After a failure. An answer that was lost on the last step may have made it the index. */
  async #giveUp(
    store: ObjectStore,
    reserved: Revision<IndexMeta>,
    hands: ArrivalHands,
  ): Promise<void> {
    const { name, incarnation } = reserved.document
    try {
      await hands.turn(name, async () => {
        const stored = await metaDocument(store, name).read()
        if (stored?.document.incarnation !== incarnation) return
        if (stored.document.state === 'restoring') await this.#clear(store, stored, hands)
      })
    } catch (error) {
      // The document says what is to be done, and the next look at the bucket does it.
      this.#options.onTrouble(error, `clear away what was restored of index "${name}"`)
    }
  }

  /** From its first step on it cannot become the index any more. */
  async #clear(
    store: ObjectStore,
    stored: Revision<IndexMeta>,
    hands: ArrivalHands,
  ): Promise<void> {
    const { name } = stored.document
    try {
      const deleting = await metaDocument(store, name).update(stored.revision, {
        document: { ...stored.document, state: 'deleting' },
        ...{ author: 'vectord', reason: 'not restored' },
      })
      await hands.finishDeletion(store, deleting)
    } catch (error) {
      // It was finished after all, or cleared away by somebody else.
      if (!hasCode(error, 'revision_mismatch')) throw error
    }
  }
}

function activated(meta: IndexMeta): IndexMeta {
  const { restoredBy: _, ...rest } = meta
  return { ...rest, state: 'active' }
}
