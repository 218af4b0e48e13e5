/**
 * One batch of texts on its way to vectors of its index.
 *
 *     check ─▶ embed ─▶ judge each vector ─▶ apply
 *       │        │            │                ├── point changed meanwhile ─▶ stale
 *       │        │            ╰── no vector of the index ─▶ bad
 *       │        ├── embedder unavailable ─▶ left, no fault of the texts
 *       │        ╰── error, or another number of vectors ─▶ left, failed
 *       ╰── point gone, text another, embedder changed ─▶ stale
 *
 * Nothing is kept here: the caller settles every text by the result. Whatever is thrown at whatever
 * place leaves the texts that are not done in `left`.
 */

import type { AppliedVector, EmbedderStamp } from '../domain/pending-text.ts'
import { textHash } from '../domain/text-hash.ts'
import { VectordError } from '../lib/errors.ts'
import { boundedCall, CallEnded } from './bounded-call.ts'
import { vectorProblem } from './judge-vectors.ts'
import type { TextEmbedder, TextIndex } from './ports.ts'
import type { WorkItem } from './work-queue.ts'

/** Embedders have shorter bounds of their own; this one is for those that keep none. */
const EMBED_MS_MAX = 120_000
const INDEX_MS_MAX = 30_000

export interface ProjectOptions {
  readonly index: TextIndex
  /** That of the index when the batch was taken. */
  readonly stamp: EmbedderStamp
  /** False once the embedder of the index is another one. */
  readonly isCurrent: () => boolean
  readonly embedder: TextEmbedder
  /** Aborted where the projection closes. */
  readonly signal: AbortSignal
  readonly nowMs: () => number
}

export type LeftCause =
  /** The embedder does not answer; nothing is wrong with the texts. */
  | { readonly kind: 'unavailable'; readonly error: VectordError }
  /** The embedder or the index refuses these texts, or one of them. */
  | { readonly kind: 'failed'; readonly error: unknown }
  /** The index takes nothing now. */
  | { readonly kind: 'trouble'; readonly error: unknown }
  | { readonly kind: 'closed' }

export interface ProjectResult {
  readonly applied: readonly WorkItem[]
  readonly stale: readonly WorkItem[]
  readonly bad: readonly { readonly item: WorkItem; readonly problem: string }[]
  readonly left: readonly WorkItem[]
  /** Why texts are left; null where none is. */
  readonly cause: LeftCause | null
}

/** Never rejects. */
export async function projectBatch(
  items: readonly WorkItem[],
  options: ProjectOptions,
): Promise<ProjectResult> {
  const done: Progress = { applied: [], stale: [], bad: [], left: items }
  try {
    const cause = await run(done, options)
    return { ...done, cause }
  } catch (error) {
    const cause = error instanceof CallEnded ? CLOSED : ({ kind: 'trouble', error } as const)
    return { ...done, cause }
  }
}

/**
 * The texts of those points that are still of the version that was found; null for the others.
 *
 * @throws what the index cannot be read with now.
 */
export async function currentTexts(
  items: readonly WorkItem[],
  { index, nowMs }: Pick<ProjectOptions, 'index' | 'nowMs'>,
): Promise<readonly (string | null)[]> {
  const { points } = await index.fetch(
    items.map(({ id }) => id),
    { metadata: false, vector: false, text: true },
    { minLsn: 0, deadlineMs: nowMs() + INDEX_MS_MAX },
  )
  return items.map(({ id, version, textHash: hash }, i) => {
    const point = points[i] ?? null
    if (point?.version !== version || point.text === null) return null
    return textHash(id, point.text) === hash ? point.text : null
  })
}

interface Progress {
  applied: WorkItem[]
  stale: WorkItem[]
  bad: { item: WorkItem; problem: string }[]
  left: readonly WorkItem[]
}

const CLOSED = { kind: 'closed' } as const

/** Moves texts from `left` to where they belong. @returns why some are left. */
async function run(done: Progress, options: ProjectOptions): Promise<LeftCause | null> {
  const known = await currentTexts(done.left, options)
  const texts = known.filter((text) => text !== null)
  drop(done, (_, i) => known[i] === null || !options.isCurrent())
  if (done.left.length === 0) return null
  const answer = await embed(texts, options)
  if (answer.kind !== 'vectors') return answer
  const vectors = judged(done, answer.vectors, options)
  // The embedder may have taken long: what it made is of no use to an index of another one.
  drop(done, () => !options.isCurrent())
  if (done.left.length === 0) return null
  return apply(done, vectors, options)
}

function drop(done: Progress, isStale: (item: WorkItem, i: number) => boolean): void {
  const { left } = done
  done.stale.push(...left.filter(isStale))
  done.left = left.filter((item, i) => !isStale(item, i))
}

type Answer = LeftCause | { readonly kind: 'vectors'; readonly vectors: readonly Float32Array[] }

async function embed(
  texts: readonly string[],
  { embedder, signal, stamp }: ProjectOptions,
): Promise<Answer> {
  try {
    const vectors = await boundedCall((ends) => embedder.embed(texts, ends), {
      ...{ ms: EMBED_MS_MAX, signal },
      late: () => lateError(stamp.name),
    })
    if (vectors.length === texts.length) return { kind: 'vectors', vectors }
    const counts = `${vectors.length} vectors of ${texts.length} texts`
    const error = new VectordError('embedder_failed', `The embedder made ${counts}.`)
    return { kind: 'failed', error }
  } catch (error) {
    if (error instanceof CallEnded) return CLOSED
    return isOfEmbedder(error) ? { kind: 'unavailable', error } : { kind: 'failed', error }
  }
}

/** True where the error says nothing of the texts. */
function isOfEmbedder(error: unknown): error is VectordError {
  return error instanceof VectordError && !isOfTexts(error)
}

function isOfTexts(error: VectordError): boolean {
  return error.code === 'embedder_failed' || [400, 413, 422].includes(error.status)
}

function lateError(name: string): VectordError {
  const message = `Embedder "${name}" has not answered within ${EMBED_MS_MAX / 1000} seconds.`
  return new VectordError('embedder_unavailable', message, { details: { embedder: name } })
}

/** Takes out the texts whose vectors the index cannot hold. @returns those of the others. */
function judged(
  done: Progress,
  vectors: readonly Float32Array[],
  { index, stamp }: ProjectOptions,
): readonly Float32Array[] {
  const { metric } = index.info
  const good: { readonly item: WorkItem; readonly vector: Float32Array }[] = []
  for (const [i, item] of done.left.entries()) {
    const vector = vectors[i]
    const problem = vectorProblem(vector, { dimension: stamp.dimension, metric })
    if (problem !== null) done.bad.push({ item, problem })
    else if (vector !== undefined) good.push({ item, vector })
  }
  done.left = good.map(({ item }) => item)
  return good.map(({ vector }) => vector)
}

async function apply(
  done: Progress,
  vectors: readonly Float32Array[],
  { index, stamp, nowMs }: ProjectOptions,
): Promise<LeftCause | null> {
  const applied = done.left.flatMap(({ id, version, textHash: hash }, i): AppliedVector[] => {
    const vector = vectors[i]
    return vector === undefined ? [] : [{ id, version, textHash: hash, vector, embedder: stamp }]
  })
  try {
    const answer = await index.texts.apply(applied, nowMs() + INDEX_MS_MAX)
    const stale = new Set(answer.stale)
    for (const item of done.left) (stale.has(item.id) ? done.stale : done.applied).push(item)
    done.left = []
    return null
  } catch (error) {
    const isRefused = !(error instanceof VectordError) || isOfTexts(error)
    return { kind: isRefused ? 'failed' : 'trouble', error }
  }
}
