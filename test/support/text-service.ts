/**
 * A real vectord process with an index of texts, and an embedder of the OpenAI protocol beside it.
 *
 *     const openai = await startOpenAi()
 *     const service = await startTexts(root, openai)
 *     await createTexts(service)
 *     await putTexts(service, { a: 'a red bus' })
 *     await untilEmbedded(service)
 */

import assert from 'node:assert/strict'
import type { OpenAiServer } from './openai-server.ts'
import { startService, type Service } from './service.ts'

export const TEXTS = '/vectors/indexes/notes'
const STATUS = '/vectors/projection'
const PAGE = 500
/** A batch that failed is tried again for 21 s before it is halved. */
const WITHIN_MS = 60_000
/** Float32 of numbers up to 1, and a division by their length. */
const TOLERANCE = 1e-5

export interface TextsStatus {
  readonly state: string
  readonly pending: { readonly writes: number; readonly backfill: number } | null
  readonly failed: number
  readonly totals: {
    readonly incremental_processed: number
    readonly backfill_processed: number
    readonly discarded_stale: number
  }
  readonly last_error: { readonly code: string } | null
}

export interface StoredText {
  readonly id: string
  readonly text: string
  readonly vector: readonly number[] | null
}

/** Starts vectord with `openai` for its embedder of that name; it is ready. */
export async function startTexts(
  root: string,
  openai: Pick<OpenAiServer, 'url'>,
  env: Readonly<Record<string, string>> = {},
): Promise<Service> {
  const service = await startService(root, {
    env: {
      VECTORD_EMBEDDERS_OPENAI_URL: openai.url,
      VECTORD_EMBEDDERS_OPENAI_MODEL: 'm',
      VECTORD_EMBEDDERS_OPENAI_RETRIES: '0',
      ...env,
    },
  })
  try {
    await service.ready()
    return service
  } catch (error) {
    await service.kill()
    throw error
  }
}

export async function createTexts(service: Service, embedder = 'openai'): Promise<void> {
  await service.must('POST', '/vectors/indexes', { name: 'notes', embedder, shards: 2 })
}

export async function putTexts(
  service: Service,
  texts: Readonly<Record<string, string>>,
): Promise<void> {
  const points = Object.entries(texts).map(([id, text]) => ({ id, text }))
  await service.must('POST', `${TEXTS}/points`, { points })
}

export async function deleteTexts(service: Service, ids: readonly string[]): Promise<void> {
  await service.must('POST', `${TEXTS}/points/delete`, { ids })
}

export async function statusOf(service: Service): Promise<TextsStatus> {
  return oneStatus(await service.must('GET', STATUS))
}

/** Waits until the status is as `isSo` wants it. */
export async function untilStatus(
  service: Service,
  isSo: (status: TextsStatus) => boolean,
): Promise<TextsStatus> {
  const { body } = await service.eventually(
    STATUS,
    (reply) => isSo(oneStatus(reply.body)),
    WITHIN_MS,
  )
  return oneStatus(body)
}

/** Waits until nothing waits any more, by itself. */
export function untilEmbedded(service: Service): Promise<TextsStatus> {
  return untilStatus(service, ({ state, pending }) => {
    return state === 'idle' && pending?.writes === 0 && pending.backfill === 0
  })
}

export async function drain(
  service: Service,
): Promise<Readonly<Record<string, unknown>> & { readonly outcome: string }> {
  const body = { index: 'notes', deadline_ms: 30_000 }
  return (await service.must('POST', `${STATUS}/drain`, body)) as { outcome: string }
}

export async function failedTexts(
  service: Service,
): Promise<readonly { readonly id: string; readonly attempts: number; readonly reason: object }[]> {
  const page = await service.must('GET', `${STATUS}/failed?index=notes`)
  return (page as { failed: { id: string; attempts: number; reason: object }[] }).failed
}

export async function requeue(service: Service, ids: readonly string[]): Promise<unknown> {
  return service.must('POST', `${STATUS}/requeue`, { index: 'notes', ids })
}

/** Ids of what a search by meaning finds, best first. */
export async function foundBy(service: Service, text: string, k = 1): Promise<readonly string[]> {
  const answer = await service.must('POST', `${TEXTS}/search`, { text, mode: 'vector', k })
  return (answer as { results: { id: string }[] }).results.map(({ id }) => id)
}

export async function storedTexts(service: Service): Promise<ReadonlyMap<string, StoredText>> {
  const stored = new Map<string, StoredText>()
  let cursor: string | null = ''
  while (cursor !== null) {
    const from: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`
    const path = `${TEXTS}/points?limit=${PAGE}&include=text,vector${from}`
    const page = (await service.must('GET', path)) as {
      points: StoredText[]
      next_cursor: string | null
    }
    for (const point of page.points) {
      assert.ok(!stored.has(point.id), `${point.id} comes once`)
      stored.set(point.id, point)
    }
    cursor = page.next_cursor
  }
  return stored
}

/** Each text has the vector that `vectorOf` makes of it, and no other. */
export function assertVectors(
  stored: Iterable<StoredText>,
  vectorOf: (text: string) => readonly number[],
): void {
  for (const { id, text, vector } of stored) {
    const expected = vectorOf(text)
    const isEqual =
      vector?.length === expected.length &&
      vector.every((value, i) => Math.abs(value - (expected[i] ?? NaN)) < TOLERANCE)
    assert.ok(isEqual, `${id} has the vector of "${text}"`)
  }
}

function oneStatus(body: unknown): TextsStatus {
  const [status] = (body as { indexes: TextsStatus[] }).indexes
  if (status === undefined) throw new Error('no index has texts')
  return status
}
