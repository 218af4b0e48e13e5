/**
 * Moves an index to another bucket while it serves; see `docs/adr/0027-moving-an-index.md`.
 *
 *     intent ─▶ arriving ─▶ copy … copy ─▶ still: last checkpoint, rest, new log ─▶ SWITCH ─▶ drop
 *        ╰─────────┴────────────┴──────────────────────┴──▶ called off, the copy goes
 *
 * - The switch is one compare-and-swap: the old meta becomes `moved`. Before it the old bucket is the
 *   home and the copy is nothing; after it the new one is, and the old objects are what is left over.
 * - From the last checkpoint on nothing is written to either bucket until the switch is decided. While
 *   it is not known whether it happened, nothing is acknowledged; reads go on.
 * - Whoever opens the index to write it calls off a move that it finds, before it opens the log: so a
 *   switch cannot overtake a write that another server acknowledged.
 * - `settle` takes every state that a crash leaves to its end, at any server, as often as needed.
 */

import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ObjectStore } from '../buckets/object-store.ts'
import type { Revision } from '../buckets/revisioned-document.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import { CheckpointStore } from '../log/checkpoint-store.ts'
import type { LeftCopy } from '../versions/object-drops.ts'
import { BucketCopy } from './bucket-copy.ts'
import { indexMoving } from './entry-gate.ts'
import {
  callOffMove,
  metaDocument,
  withoutMove,
  type IndexMeta,
  type IndexMove,
} from './index-meta.ts'
import { checkComplete, contentOf, luggage } from './index-luggage.ts'
import { copyObjects, infoOf } from './index-objects.ts'
import type { IndexRunner } from './index-runner.ts'
import { MoveRemains } from './move-remains.ts'
import type { ServedIndex } from './served-index.ts'

/** Copies ahead of the last one; each leaves less to do while writes wait. */
const ROUNDS_MAX = 3
/** So little to copy is copied while writes wait. */
const REST_BYTES = 8 * 1024 * 1024
/** Between looks at a bucket that does not say whether the switch happened. */
const ASK_MS = 500

export interface IndexMovesOptions {
  /** @throws {VectordError} `bucket_not_found`, `bucket_unreachable`. */
  readonly store: (bucket: string) => ObjectStore
  /** Id of this server. */
  readonly server: string
  /** A local folder for temporary files. */
  readonly scratch: string
  readonly nowMs: () => number
  /** Keys in a bucket of what belongs to an index and is named by itself: its eval sets. */
  readonly evalKeys: (index: string, bucket: string) => Promise<readonly string[]>
  /** Resolves when every object of the copy is gone. */
  readonly dropCopy: (index: string, copy: LeftCopy) => Promise<void>
  /** Makes the log of an index that is to live where `meta` says; it goes on after `baseLsn`. */
  readonly beginLog: (meta: IndexMeta, baseLsn: number) => Promise<void>
  readonly onTrouble: (error: unknown, what: string) => void
}

export interface MoveControl {
  /** Before the switch the move is called off, after it there is nothing to stop. */
  readonly signal: AbortSignal
  readonly progress: (
    stage: string,
    count?: { readonly done: number; readonly total: number },
  ) => void
}

/** What the registry lends to a move. */
export interface MoveHands {
  /** Runs `work` as the one change of the index. */
  readonly turn: <T>(work: () => Promise<T>) => Promise<T>
  /** Writes the intent. @throws {VectordError} `revision_mismatch`. */
  readonly intend: (move: IndexMove) => Promise<Revision<IndexMeta>>
}

/** A move under way. */
interface Transit {
  readonly runner: IndexRunner
  readonly index: ServedIndex
  readonly move: IndexMove
  readonly source: ObjectStore
  readonly target: ObjectStore
  readonly copy: BucketCopy
  readonly control: MoveControl
  /** `asked`: the switch was asked for, and it is not known whether it happened. */
  switch: 'before' | 'asked' | 'made'
}

export class IndexMoves {
  readonly #options: IndexMovesOptions
  readonly #remains: MoveRemains
  /** Ids of the moves of this process. */
  readonly #alive = new Set<string>()

  constructor(options: IndexMovesOptions) {
    this.#options = options
    this.#remains = new MoveRemains(options)
  }

  isAlive(move: IndexMove | undefined): boolean {
    return move !== undefined && this.#alive.has(move.id)
  }

  /**
   * Takes what a crash left to its end, as far as that can be told now.
   *
   * @param stored a meta that is `arriving`, `abandoned` or `moved`.
   * @returns the document to serve the index from, or null where another one says that.
   * @throws {VectordError} `bucket_unreachable` where it cannot be told where the index lives.
   */
  async settle(stored: Revision<IndexMeta>, bucket: string): Promise<Revision<IndexMeta> | null> {
    if (this.isAlive(stored.document.move)) return null
    return this.#remains.settle(stored, bucket)
  }

  /**
   * Checks what can be told before anything is done.
   *
   * @throws {VectordError} `index_exists` where the bucket has one of this name, `object_exists` where
   *   it has an eval set of another index under the name of one of ours; what keeps the index from
   *   being changed; `bucket_not_found`, `bucket_unreachable`.
   */
  async check(index: ServedIndex, to: string): Promise<void> {
    index.ownShards()
    index.specs()
    const { name, bucket, move } = index.meta
    if (this.isAlive(move)) throw indexMoving(name)
    const target = this.#options.store(to)
    await this.#checkFree(name, to, target)
    const theirs = new Set(await this.#options.evalKeys(name, to))
    for (const key of await this.#options.evalKeys(name, bucket)) {
      if (theirs.has(key) || (await infoOf(target, key)) === null) continue
      throw new VectordError('object_exists', `The bucket "${to}" has another "${key}".`, {
        details: { bucket: to, key },
      })
    }
  }

  /**
   * Moves the index and drops the old copy. Where it throws, the index is where it was, unless the
   * error comes after the switch: then the bucket of its meta is the new one.
   *
   * @throws {VectordError} as `check`; `operation_cancelled` and other reasons of the signal.
   */
  async run(
    runner: IndexRunner,
    to: string,
    control: MoveControl,
    hands: MoveHands,
  ): Promise<void> {
    const { index } = runner
    const id = randomUUID()
    const isFirst = this.#alive.size === 0
    this.#alive.add(id)
    try {
      // What a crash left of the files of an earlier move.
      if (isFirst) await rm(this.#scratch, { recursive: true, force: true })
      const from = index.meta.bucket
      const move = { id, from, to, by: this.#options.server }
      const transit: Transit = {
        ...{ runner, index, move, control, switch: 'before' },
        source: this.#options.store(from),
        target: this.#options.store(to),
        copy: this.#newCopy(move),
      }
      await this.#carryOut(transit, hands)
      control.progress('dropping the old copy')
      await this.#dropOld(transit)
    } finally {
      this.#alive.delete(id)
    }
  }

  async #carryOut(transit: Transit, hands: MoveHands): Promise<void> {
    const { index, move, control } = transit
    try {
      await hands.turn(async () => {
        await this.check(index, move.to)
        control.signal.throwIfAborted()
        const stored = await hands.intend(move)
        index.changeMeta(stored.document, stored.revision)
      })
      await this.#prepare(transit)
      await this.#copyAhead(transit)
      control.progress('waiting for builds')
      await index.builds.close(control.signal)
      try {
        await hands.turn(() => this.#closing(transit))
      } finally {
        index.builds.open()
      }
    } catch (error) {
      if (transit.switch === 'before') await this.#callOff(transit, hands)
      throw error
    } finally {
      await transit.copy.close()
    }
  }

  /** Reserves the place at the target, empty of what an earlier index of this name left. */
  async #prepare({ index, target, source }: Transit): Promise<void> {
    const { meta, info } = index
    const { move } = meta
    if (move === undefined) throw calledOff(meta.name)
    for await (const { key } of copyObjects(target, meta.name, [])) await target.delete(key)
    await metaDocument(target, meta.name).update(null, {
      document: { ...meta, bucket: move.to, state: 'arriving' },
      ...{ author: 'vectord', reason: `move from "${move.from}"`, after: info.revision },
    })
    invariant(source !== target, 'an index moves between two buckets')
  }

  async #copyAhead(transit: Transit): Promise<void> {
    for (let round = 1; round <= ROUNDS_MAX; round += 1) {
      await transit.index.checkpoint()
      if ((await this.#copyAll(transit, true)) <= REST_BYTES) return
    }
  }

  /** Everything stands still from here until the switch is decided. */
  async #closing(transit: Transit): Promise<void> {
    const { index, control } = transit
    await this.#look(transit)
    await index.writes.close(control.signal)
    try {
      await index.checkpoints.alone(async (checkpoint) => {
        await checkpoint('if_worth', false)
        await this.#copyRest(transit)
        control.signal.throwIfAborted()
        control.progress('switching')
        await this.#switch(transit)
        await this.#arrive(transit)
      })
    } finally {
      if (transit.switch !== 'asked') index.writes.open()
    }
  }

  /** Another server may have changed settings, or called the move off. */
  async #look({ index, move, source }: Transit): Promise<void> {
    const stored = await metaDocument(source, index.meta.name).read()
    if (stored?.document.move?.id !== move.id) throw calledOff(index.meta.name)
    index.changeMeta(stored.document, stored.revision)
  }

  async #copyRest(transit: Transit): Promise<void> {
    const { index, move, target } = transit
    const { name, incarnation } = index.meta
    await this.#copyAll(transit, false)
    const content = contentOf(index)
    if (content !== null) {
      const { nowMs } = this.#options
      const checkpoints = new CheckpointStore({ store: target, index: name, incarnation, nowMs })
      await checkpoints.write(content)
    }
    const { lsn } = index.info
    invariant(lsn === (content?.lsn ?? 0), 'the last checkpoint holds every write')
    await this.#options.beginLog({ ...index.meta, bucket: move.to }, lsn)
    // Settings may have changed since the place was reserved.
    await metaDocument(target, name).modify((current) => {
      if (current?.document.move?.id !== move.id) throw calledOff(name)
      const document = { ...index.meta, bucket: move.to, state: 'arriving' as const }
      return { document, author: 'vectord', reason: 'copied' }
    })
  }

  async #switch(transit: Transit): Promise<void> {
    const { index, source, move } = transit
    const { meta, info } = index
    if (meta.move?.id !== move.id) throw calledOff(meta.name)
    transit.switch = 'asked'
    try {
      const change = { author: 'vectord', reason: `moved to "${move.to}"` }
      const document = { ...meta, state: 'moved' as const }
      await metaDocument(source, meta.name).update(info.revision, { ...change, document })
      transit.switch = 'made'
    } catch (error) {
      if (!(error instanceof VectordError)) throw error
      transit.switch = await this.#wasSwitched(transit)
      if (transit.switch === 'before') throw error
    }
  }

  /** Makes sure that it did not happen, or learns that it did: a late answer loses to this. */
  async #wasSwitched({ index, source, move, control }: Transit): Promise<'before' | 'made'> {
    for (;;) {
      try {
        const now = await callOffMove(source, index.meta)
        const isMoved = now?.document.state === 'moved' && now.document.move?.id === move.id
        return isMoved ? 'made' : 'before'
      } catch (error) {
        const isEnding = hasCode(control.signal.reason, 'shutting_down')
        if (!(error instanceof VectordError) || isEnding) throw error
        this.#options.onTrouble(error, `ask whether index "${index.meta.name}" has moved`)
        await sleep(ASK_MS)
      }
    }
  }

  /** The index lives at the target; where that cannot be written now, `settle` writes it later. */
  async #arrive({ runner, index, move, target }: Transit): Promise<void> {
    const { meta, info } = index
    const there = withoutMove({ ...meta, bucket: move.to })
    try {
      const stored = await this.#remains.activate(target, meta.name, move)
      index.changeMeta(stored.document, stored.revision)
    } catch (error) {
      if (!(error instanceof VectordError)) throw error
      index.changeMeta(there, info.revision)
      this.#options.onTrouble(error, `finish the move of index "${meta.name}"`)
    }
    await runner.rehome()
  }

  async #dropOld({ index, source, move }: Transit): Promise<void> {
    const { name } = index.meta
    try {
      const stored = await metaDocument(source, name).read()
      if (stored?.document.move?.id === move.id) await this.#remains.settle(stored, move.from)
    } catch (error) {
      // The document says what is to be done, and the next look at the bucket does it.
      this.#options.onTrouble(error, `drop the old copy of index "${name}"`)
    }
  }

  async #callOff({ index, source, move, target }: Transit, hands: MoveHands): Promise<void> {
    const { name } = index.meta
    try {
      await hands.turn(async () => {
        const now = await callOffMove(source, { name, move })
        if (now?.document.state === 'active') index.changeMeta(now.document, now.revision)
      })
      await this.#remains.abandon(target, name, move)
    } catch (error) {
      // The documents say what is to be done: see `settle`.
      this.#options.onTrouble(error, `call off the move of index "${name}"`)
    }
  }

  /** @returns bytes copied. */
  async #copyAll(transit: Transit, isMoving: boolean): Promise<number> {
    const { index, move, source, copy, control } = transit
    const { name } = index.meta
    const content = contentOf(index)
    const evalKeys = await this.#options.evalKeys(name, move.from)
    const objects = await luggage(source, name, { content, evalKeys })
    if (!isMoving) checkComplete(objects, content)
    return copy.run(objects, {
      ...{ isMoving, signal: control.signal },
      expected: new Map(content?.parts.map(({ key, sha256 }) => [key, sha256])),
      onProgress: (done, total) => {
        control.progress(isMoving ? 'copying' : 'copying the rest', { done, total })
      },
    })
  }

  /** Also for what an earlier move left there. */
  async #checkFree(name: string, bucket: string, target: ObjectStore): Promise<void> {
    const document = metaDocument(target, name)
    const stored = await document.read()
    if (stored?.document.move !== undefined) await this.settle(stored, bucket)
    if (stored === null || (await document.read()) === null) return
    throw new VectordError('index_exists', `The bucket "${bucket}" has an index "${name}".`, {
      details: { index: name, bucket },
    })
  }

  #newCopy({ id, from, to }: IndexMove): BucketCopy {
    const { store } = this.#options
    return new BucketCopy({ from: store(from), to: store(to), scratch: join(this.#scratch, id) })
  }

  get #scratch(): string {
    return join(this.#options.scratch, 'moves')
  }
}

function calledOff(index: string): VectordError {
  return new VectordError('operation_cancelled', `The move of "${index}" was called off.`, {
    details: { index },
  })
}
