/**
 * Reads of points: fetch, scroll, count, and scrolls beside writes.
 */

import assert from 'node:assert/strict'
import type { ModelIndex } from './model-index.ts'
import type { JsonObject, ModelPoint } from './model-point.ts'
import { answered, onIndex, refused, type ModelRun, type OperationKind } from './model-run.ts'
import { doomed, drawn, rowJson } from './write-kinds.ts'

const INCLUDES = ['metadata', 'vector', 'text'] as const

export const READ_KINDS: readonly OperationKind[] = [
  onIndex('fetch', 40, async (run, index) => {
    const { dice } = run
    const id = dice.chance(0.8) && index.live > 0 ? dice.pick(index.ids) : dice.id()
    const include = dice.some(INCLUDES, dice.int(0, 3))
    const query = `include=${include.join(',')}&min_lsn=${index.lsn}`
    const path = `${index.path}/points/${encodeURIComponent(id)}?${query}`
    const reply = await run.send('GET', path)
    const point = index.point(id)
    if (point === null) refused(reply, 404, 'point_not_found')
    else assert.deepEqual(answered(reply, 200), pointJson(point, include))
    assert.equal(reply.headers.get('x-vectord-lsn'), String(index.lsn))
  }),
  onIndex('fetch_base64', 6, async (run, index) => {
    if (index.live === 0) return
    const point = index.point(run.dice.pick(index.ids))
    assert.ok(point !== null)
    const query = 'include=vector&vector_encoding=base64'
    const path = `${index.path}/points/${encodeURIComponent(point.id)}?${query}`
    const { vector } = (await run.must('GET', path)) as { readonly vector: string }
    assert.equal(vector, Buffer.from(Float32Array.from(point.vector).buffer).toString('base64'))
  }),
  onIndex('scroll', 12, async (run, index) => {
    await scrollWhole(run, index, { filter: null })
  }),
  onIndex('scroll_filtered', 8, async (run, index) => {
    await scrollWhole(run, index, { filter: run.dice.filter() })
  }),
  onIndex('scroll_while_writing', 6, async (run, index) => {
    const filter = run.dice.chance(0.3) ? run.dice.filter() : null
    await scrollWhole(run, index, {
      filter,
      between: async () => {
        await (run.dice.chance(0.7) ? upsert(run, index) : remove(run, index))
      },
    })
  }),
  onIndex('scroll_cut', 2, async (run, index) => {
    const cursor = run.dice.pick(['x', '!!!!', 'AAAA', 'bm90IG91cnM'])
    const reply = await run.send('GET', `${index.path}/points?cursor=${cursor}`)
    refused(reply, 400, 'invalid_cursor')
  }),
  onIndex('count', 6, async (run, index) => {
    // The cores tell their counts a moment later.
    const isCounted = ({ text }: { readonly text: string }): boolean =>
      text.includes(`"points":${index.live},`)
    await run.server.service.eventually(`${index.path}/health`, isCounted)
  }),
]

export interface ScrollOptions {
  readonly filter: JsonObject | null
  /** Done after each page but the last. */
  readonly between?: () => Promise<void>
}

/** Scrolls to the end; every page is what the model has after the page before. */
export async function scrollWhole(
  run: ModelRun,
  index: ModelIndex,
  { filter, between }: ScrollOptions,
): Promise<void> {
  const limit = run.dice.int(3, 40)
  const wanted = filter === null ? '' : `&filter=${encodeURIComponent(JSON.stringify(filter))}`
  const base = `${index.path}/points?limit=${limit}&include=metadata,vector,text${wanted}`
  // Writes go on behind it: it must come to an end nevertheless.
  const pagesMax = 200
  let after: ModelPoint | null = null
  let cursor: string | null = null
  for (let page = 0; page < pagesMax; page += 1) {
    const path: string = cursor === null ? base : `${base}&cursor=${encodeURIComponent(cursor)}`
    const { points, next_cursor, lsn } = (await run.must('GET', path)) as Page
    const rest = pointsAfter(index, filter, after)
    const expected = rest.slice(0, limit)
    assert.deepEqual(
      points,
      expected.map((point) => pointJson(point, INCLUDES)),
    )
    assert.equal(next_cursor === null, rest.length <= limit, 'a cursor where more comes')
    assert.equal(lsn, index.lsn)
    if (next_cursor === null) return
    after = expected.at(-1) ?? after
    cursor = next_cursor
    if (page < 10) await between?.()
  }
  assert.fail('the scroll did not end')
}

interface Page {
  readonly points: readonly unknown[]
  readonly next_cursor: string | null
  readonly lsn: number
}

/** The order is that of the writes, and of the rows in one write. */
function pointsAfter(
  index: ModelIndex,
  filter: JsonObject | null,
  after: ModelPoint | null,
): readonly ModelPoint[] {
  const all = index.matching(filter)
  if (after === null) return all
  return all.filter(
    ({ version, row }) => version > after.version || (version === after.version && row > after.row),
  )
}

async function upsert(run: ModelRun, index: ModelIndex): Promise<void> {
  const points = drawn(run, index)
  const body = { points: points.map(rowJson) }
  const { lsn } = (await run.must('POST', `${index.path}/points`, body)) as Page
  index.upsert(lsn, points)
}

async function remove(run: ModelRun, index: ModelIndex): Promise<void> {
  const ids = doomed(run, index)
  const { lsn } = (await run.must('POST', `${index.path}/points/delete`, { ids })) as Page
  index.delete(lsn, ids)
}

/** A point as fetches and scrolls show it. */
export function pointJson(point: ModelPoint, include: readonly string[]): object {
  const { id, version, metadata, text, vector } = point
  return {
    ...{ id, version },
    ...(include.includes('metadata') && { metadata }),
    ...(include.includes('text') && { text }),
    ...(include.includes('vector') && { vector: [...vector] }),
  }
}
