/**
 * What a move left in two buckets, and how it is taken to its end: from the documents alone.
 *
 *     old bucket          new bucket     what it means               what is done
 *     active, this move   arriving       it may be under way         nothing: its owner calls it off
 *     active              arriving       it was called off           the copy goes
 *     moved               arriving       the switch was made         the copy becomes the index
 *     moved               active         all but the old copy        the old copy goes
 *
 * The other bucket is asked by the name that the moving server knows it by. Another server may know
 * another bucket by that name, so what is not found there says nothing to it. To the moving server
 * too only a document that was removed says that an index is gone: a bucket without any trace of it
 * may be a disk that is not mounted.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
import type { Revision } from '../buckets/revisioned-document.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import type { LeftCopy } from '../versions/object-drops.ts'
import { metaDocument, withoutMove, type IndexMeta, type IndexMove } from './index-meta.ts'
import { copyObjects } from './index-objects.ts'

export interface MoveRemainsOptions {
  readonly store: (bucket: string) => ObjectStore
  /** Id of this server. */
  readonly server: string
  readonly evalKeys: (index: string, bucket: string) => Promise<readonly string[]>
  /** Resolves when every object of the copy is gone. */
  readonly dropCopy: (index: string, copy: LeftCopy) => Promise<void>
}

const BY = { author: 'vectord' }

export class MoveRemains {
  readonly #options: MoveRemainsOptions

  constructor(options: MoveRemainsOptions) {
    this.#options = options
  }

  /** See `IndexMoves.settle`. */
  async settle(stored: Revision<IndexMeta>, bucket: string): Promise<Revision<IndexMeta> | null> {
    const { state, move, name } = stored.document
    if (move === undefined) {
      const message = `The meta of index "${name}" in bucket "${bucket}" names no move.`
      throw new VectordError('object_corrupt', message, { details: { index: name, bucket } })
    }
    if (state === 'moved') return this.#settleMoved(stored, move, bucket)
    if (state === 'arriving') return this.#settleArriving(stored, move, bucket)
    await this.#dropAbandoned(stored, move, bucket)
    return null
  }

  /** Makes the copy the index, once the switch was made. @throws where the copy is not there. */
  async activate(target: ObjectStore, name: string, move: IndexMove): Promise<Revision<IndexMeta>> {
    const stored = await metaDocument(target, name).modify((current) => {
      if (current?.document.state !== 'arriving' || current.document.move?.id !== move.id)
        return null
      const document = { ...withoutMove(current.document), state: 'active' as const }
      return { document, ...BY, reason: `arrived from "${move.from}"` }
    })
    if (stored?.document.state === 'active') return stored
    throw new VectordError('storage_error', `The copy of index "${name}" did not arrive.`, {
      details: { index: name, bucket: move.to },
    })
  }

  /** Drops the copy of a move that was called off; nothing where that is not there. */
  async abandon(target: ObjectStore, name: string, move: IndexMove): Promise<void> {
    const isOurs = (meta: IndexMeta | undefined): boolean => meta?.move?.id === move.id
    // From here on the copy cannot become the index, whoever reads an older document.
    const stored = await metaDocument(target, name).modify((current) =>
      current?.document.state === 'arriving' && isOurs(current.document)
        ? { document: { ...current.document, state: 'abandoned' }, ...BY, reason: 'called off' }
        : null,
    )
    if (stored?.document.state !== 'abandoned' || !isOurs(stored.document)) return
    await this.#dropAbandoned(stored, move, move.to, target)
  }

  async #settleArriving(
    { document: { name, incarnation } }: Revision<IndexMeta>,
    move: IndexMove,
    bucket: string,
  ): Promise<Revision<IndexMeta> | null> {
    const { store, server } = this.#options
    const target = store(bucket)
    const source = await this.#read(name, move.from)
    if (source !== 'removed' && source.incarnation === incarnation) {
      const isThisMove = source.move?.id === move.id
      if (isThisMove && source.state === 'moved') return this.activate(target, name, move)
      if (isThisMove && source.state === 'active') return null
    } else if (move.by !== server) throw elsewhere(name, move.from)
    await this.abandon(target, name, move)
    return null
  }

  async #settleMoved(
    stored: Revision<IndexMeta>,
    move: IndexMove,
    bucket: string,
  ): Promise<Revision<IndexMeta> | null> {
    const { name, incarnation } = stored.document
    const { store, server, evalKeys } = this.#options
    const there = await this.#read(name, move.to)
    let arrived: Revision<IndexMeta> | null = null
    if (there !== 'removed' && there.incarnation === incarnation) {
      const target = store(move.to)
      if (there.state === 'arriving') arrived = await this.activate(target, name, move)
      else if (there.state === 'active') arrived = await metaDocument(target, name).read()
      // What was deleted there since, or moved on, is not here either.
    } else if (move.by !== server) throw elsewhere(name, move.to)
    const source = store(bucket)
    await this.#dropObjects(source, name, await evalKeys(name, bucket))
    await removeMeta(source, stored)
    return arrived
  }

  async #dropAbandoned(
    stored: Revision<IndexMeta>,
    move: IndexMove,
    bucket: string,
    target = this.#options.store(bucket),
  ): Promise<void> {
    const { name } = stored.document
    const { evalKeys } = this.#options
    // An eval set that the old bucket lacks was not copied from there.
    const atHome = new Set(await evalKeys(name, move.from))
    const copies = (await evalKeys(name, bucket)).filter((key) => atHome.has(key))
    await this.#dropObjects(target, name, copies)
    await removeMeta(target, stored)
  }

  #dropObjects(store: ObjectStore, name: string, evalKeys: readonly string[]): Promise<void> {
    return this.#options.dropCopy(name, {
      store,
      objects: () => copyObjects(store, name, evalKeys),
    })
  }

  /** @throws {VectordError} `bucket_unreachable`, also where the bucket has no trace of the index. */
  async #read(name: string, bucket: string): Promise<IndexMeta | 'removed'> {
    try {
      const document = metaDocument(this.#options.store(bucket), name)
      const stored = await document.read()
      if (stored !== null) return stored.document
      for await (const { kind } of document.history()) if (kind === 'removed') return 'removed'
    } catch (error) {
      if (hasCode(error, 'bucket_not_found')) throw elsewhere(name, bucket, error)
      throw error
    }
    throw elsewhere(name, bucket)
  }
}

/** Another server may have done it first. */
async function removeMeta(store: ObjectStore, stored: Revision<IndexMeta>): Promise<void> {
  const document = metaDocument(store, stored.document.name)
  try {
    await document.remove(stored.revision, { ...BY, reason: 'the old copy is gone' })
  } catch (error) {
    if (!hasCode(error, 'revision_mismatch') || (await document.read()) !== null) throw error
  }
}

function elsewhere(index: string, bucket: string, cause?: unknown): VectordError {
  return new VectordError(
    'bucket_unreachable',
    `Index "${index}" is on its way from or to a bucket "${bucket}" that this server cannot ask.`,
    { details: { index, bucket }, retryAfterS: 5, cause },
  )
}
