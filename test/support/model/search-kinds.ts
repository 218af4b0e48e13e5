/**
 * Searches of every kind.
 */

import assert from 'node:assert/strict'
import type { ModelIndex } from './model-index.ts'
import type { JsonObject } from './model-point.ts'
import { answered, onIndex, refused, type ModelRun, type OperationKind } from './model-run.ts'
import { checkSearch, type Asked, type SearchAnswer } from './search-check.ts'

const FAR_LSN = 1_000_000

export const SEARCH_KINDS: readonly OperationKind[] = [
  onIndex('search', 60, (run, index) => search(run, index, { exact: false, filter: null })),
  onIndex('search_exact', 30, (run, index) => search(run, index, { exact: true, filter: null })),
  onIndex('search_filtered', 45, (run, index) => {
    return search(run, index, { exact: false, filter: run.dice.filter() })
  }),
  onIndex('search_exact_filtered', 20, (run, index) => {
    return search(run, index, { exact: true, filter: run.dice.filter() })
  }),
  onIndex('search_by_id', 20, searchById),
  onIndex('search_beyond', 10, (run, index) => {
    return search(run, index, { exact: false, filter: null, k: index.live + run.dice.int(1, 50) })
  }),
  onIndex('search_batch', 12, searchBatch),
  onIndex('search_min_lsn', 8, async (run, index) => {
    const { asked, body } = drawnSearch(run, index, { exact: false, filter: null })
    const reply = await run.send('POST', `${index.path}/search`, { ...body, min_lsn: index.lsn })
    checkSearch(answered(reply, 200) as SearchAnswer, index, asked, run.recall)
  }),
  onIndex('search_unwritten', 1, async (run, index) => {
    const { body } = drawnSearch(run, index, { exact: false, filter: null })
    const far = { ...body, min_lsn: index.lsn + FAR_LSN, deadline_ms: 5 }
    refused(await run.send('POST', `${index.path}/search`, far), 504, 'deadline_exceeded')
  }),
]

interface Wanted {
  readonly exact: boolean
  readonly filter: JsonObject | null
  readonly k?: number
}

async function search(run: ModelRun, index: ModelIndex, wanted: Wanted): Promise<void> {
  const { asked, body } = drawnSearch(run, index, wanted)
  const reply = await run.send('POST', `${index.path}/search`, body)
  const answer = answered(reply, 200) as SearchAnswer
  assert.equal(reply.headers.get('x-vectord-lsn'), String(index.lsn))
  checkSearch(answer, index, asked, run.recall)
}

async function searchById(run: ModelRun, index: ModelIndex): Promise<void> {
  const { dice } = run
  const id = dice.chance(0.9) && index.live > 0 ? dice.pick(index.ids) : dice.id()
  const filter = dice.chance(0.3) ? dice.filter() : null
  const { asked, body } = drawnSearch(run, index, { exact: dice.chance(0.3), filter })
  const { vector: _vector, ...rest } = body
  const reply = await run.send('POST', `${index.path}/search`, { ...rest, id })
  const point = index.point(id)
  if (point === null) {
    refused(reply, 404, 'point_not_found')
    return
  }
  const about = { ...asked, vector: point.vector, self: id }
  checkSearch(answered(reply, 200) as SearchAnswer, index, about, run.recall)
}

/** A bad query among good ones fails in its place alone. */
async function searchBatch(run: ModelRun, index: ModelIndex): Promise<void> {
  const { dice } = run
  const drawn = Array.from({ length: dice.int(1, 6) }, () =>
    drawnSearch(run, index, {
      exact: dice.chance(0.3),
      filter: dice.chance(0.3) ? dice.filter() : null,
    }),
  )
  const bad = dice.chance(0.3) ? dice.int(0, drawn.length - 1) : -1
  const queries = drawn.map(({ body }, i) => (i === bad ? { ...body, k: 0 } : body))
  const reply = await run.send('POST', `${index.path}/search/batch`, { queries })
  const { answers } = answered(reply, 200) as { readonly answers: readonly unknown[] }
  assert.equal(answers.length, queries.length)
  for (const [i, { asked }] of drawn.entries()) {
    if (i === bad) {
      const { status, error } = answers[i] as { status: number; error: { code: string } }
      assert.deepEqual([status, error.code], [400, 'bad_request'])
    } else checkSearch(answers[i] as SearchAnswer, index, asked, run.recall)
  }
}

export function drawnSearch(
  run: ModelRun,
  index: ModelIndex,
  { exact, filter, k = run.dice.int(1, 15) }: Wanted,
): { readonly asked: Asked; readonly body: Readonly<Record<string, unknown>> } {
  const { dice } = run
  const vector = drawnVector(run, index)
  const ef = dice.chance(0.2) ? { ef: dice.int(10, 100) } : {}
  const include = dice.chance(0.7) ? null : dice.some(['metadata', 'text', 'vector'], 2)
  const asked: Asked = {
    ...{ vector, k, ...ef, filter, exact, self: null },
    include: include ?? ['metadata'],
  }
  const body = {
    ...{ vector: [...vector], k, ...ef },
    ...(filter !== null && { filter }),
    ...(exact && { exact }),
    ...(include !== null && { include }),
  }
  return { asked, body }
}

/** Now and then that of a stored point. */
function drawnVector({ dice }: ModelRun, index: ModelIndex): Float32Array {
  const known = index.live > 0 && dice.chance(0.3) ? index.point(dice.pick(index.ids)) : null
  return known?.vector ?? dice.vector(index.settings.dimension)
}
