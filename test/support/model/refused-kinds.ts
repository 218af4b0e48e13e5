/**
 * Requests that must be refused, each with its code, and must change nothing.
 */

import assert from 'node:assert/strict'
import type { ModelIndex } from './model-index.ts'
import { onIndex, refused, type ModelRun, type OperationKind } from './model-run.ts'

const NDJSON = { 'content-type': 'application/x-ndjson' }
const LONG = 'x'.repeat(600)
const CUT = 'half a pair \ud800'

export const REFUSED_KINDS: readonly OperationKind[] = [
  onIndex('upsert_bad_row', 20, async (run, index) => {
    const bad = run.dice.pick(badRows(run, index))
    await refusedUpsert(run, index, bad)
  }),
  onIndex('upsert_bad_body', 10, async (run, index) => {
    const { body, headers = {}, status = 400, code } = run.dice.pick(badBodies(run, index))
    refused(await run.send('POST', `${index.path}/points`, body, headers), status, code)
    await checkUnchanged(run, index)
  }),
  onIndex('delete_bad', 5, async (run, index) => {
    const [body, code] = run.dice.pick([
      [{}, 'bad_request'],
      [{ ids: [] }, 'bad_request'],
      [{ ids: [1] }, 'bad_request'],
      [{ ids: [''] }, 'bad_request'],
      [{ ids: [LONG] }, 'limit_exceeded'],
      [{ ids: ['p1'], filter: {} }, 'bad_request'],
      [{ filter: { year: { $near: 1 } } }, 'invalid_filter'],
      [{ filter: { $or: [] } }, 'invalid_filter'],
      [{ filter: 'all' }, 'invalid_filter'],
    ] as const)
    refused(await run.send('POST', `${index.path}/points/delete`, body), 400, code)
    await checkUnchanged(run, index)
  }),
  onIndex('search_bad', 8, async (run, index) => {
    const vector = [...run.dice.vector(index.settings.dimension)]
    const [body, code] = run.dice.pick([
      [{ vector: [...vector, 1] }, 'vector_dimension_mismatch'],
      [{ vector: vector.map(() => 'x') }, 'invalid_vector'],
      [{ vector: vector.map(() => null) }, 'invalid_vector'],
      [{ vector: 'AAAA!' }, 'invalid_vector'],
      [{ vector, k: 0 }, 'bad_request'],
      [{ vector, k: 1.5 }, 'bad_request'],
      [{ vector, k: 5000 }, 'limit_exceeded'],
      [{ vector, ef: 0 }, 'bad_request'],
      [{ vector, id: 'p1' }, 'bad_request'],
      [{}, 'bad_request'],
      [{ vector, kk: 3 }, 'bad_request'],
      [{ vector, filter: { year: { $gt: true } } }, 'invalid_filter'],
      [{ vector, filter: { $xor: [{}] } }, 'invalid_filter'],
      [{ vector, include: ['everything'] }, 'bad_request'],
    ] as const)
    refused(await run.send('POST', `${index.path}/search`, body), 400, code)
  }),
]

interface BadBody {
  readonly body: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly status?: number
  readonly code: string
}

export interface BadRow {
  readonly row: unknown
  readonly code: string
  /** Whether JSON can say it; otherwise its text. */
  readonly text?: string
}

/** One bad row among good ones: none of them may be written. */
async function refusedUpsert(run: ModelRun, index: ModelIndex, bad: BadRow): Promise<void> {
  const good = run.dice
    .points(3, index.settings.dimension)
    .map(({ id, vector }) => ({ id: `${id}-refused`, vector: [...vector] }))
  const rows = good.map((row) => JSON.stringify(row))
  rows.splice(run.dice.int(0, rows.length), 0, bad.text ?? JSON.stringify(bad.row))
  const path = `${index.path}/points`
  const reply = run.dice.chance(0.3)
    ? await run.send('POST', path, rows.join('\n'), NDJSON)
    : await run.send('POST', path, `{"points":[${rows.join(',')}]}`)
  refused(reply, 400, bad.code)
  const [first] = good
  if (first !== undefined) {
    refused(
      await run.send('GET', `${path}/${encodeURIComponent(first.id)}`),
      404,
      'point_not_found',
    )
  }
  await checkUnchanged(run, index)
}

export function badRows({ dice }: ModelRun, { settings }: ModelIndex): readonly BadRow[] {
  const { dimension, metric } = settings
  const vector = [...dice.vector(dimension)]
  const invalid = (row: unknown): BadRow => ({ row, code: 'invalid_points' })
  return [
    { row: { id: 'a', vector: [...vector, 1] }, code: 'vector_dimension_mismatch' },
    { row: { id: 'a', vector: vector.slice(1) }, code: 'vector_dimension_mismatch' },
    { row: { id: LONG, vector }, code: 'limit_exceeded' },
    { row: { id: 'a', vector, metadata: { long: LONG.repeat(80) } }, code: 'limit_exceeded' },
    { ...invalid(null), text: `{"id":"a","vector":[${vector.map(() => '1e999').join(',')}]}` },
    invalid({ id: 'a', vector: vector.map(() => 1e38) }),
    invalid({ id: 'a', vector: vector.map(() => null) }),
    invalid({ id: 'a', vector: vector.map(String) }),
    invalid({ id: 'a', vector: 'x!' }),
    invalid({ id: 'a', vector: { 0: 1 } }),
    invalid({ id: 'a' }),
    invalid({ id: 'a', text: 'alone' }),
    invalid({ vector }),
    invalid({ id: '', vector }),
    invalid({ id: 7, vector }),
    invalid({ id: CUT, vector }),
    invalid({ id: 'a', vector, text: 5 }),
    invalid({ id: 'a', vector, text: CUT }),
    invalid({ id: 'a', vector, metadata: [1] }),
    invalid({ id: 'a', vector, metadata: 'x' }),
    invalid({ id: 'a', vector, metadata: { [CUT]: 1 } }),
    invalid({ id: 'a', vector, colour: 'red' }),
    invalid(null),
    invalid([1]),
    ...(metric === 'cosine' ? [invalid({ id: 'a', vector: vector.map(() => 0) })] : []),
  ]
}

function badBodies({ dice }: ModelRun, { settings }: ModelIndex): readonly BadBody[] {
  const vector = [...dice.vector(settings.dimension)]
  const point = { id: 'twice', vector }
  const packed = Buffer.from(new Float32Array(settings.dimension).fill(1).buffer).toString('base64')
  return [
    { body: { points: [point, point] }, code: 'invalid_points' },
    { body: { points: [] }, code: 'bad_request' },
    { body: { points: point }, code: 'bad_request' },
    { body: { points: [point], more: 1 }, code: 'bad_request' },
    { body: {}, code: 'bad_request' },
    { body: [point], code: 'bad_request' },
    { body: '{"points": [', code: 'malformed_body' },
    { body: '{"points": [{"id": "a", "__proto__": {}}]}', code: 'malformed_body' },
    { body: { ids: ['a', 'b'], vectors: [vector] }, code: 'bad_request' },
    { body: { ids: ['a'] }, code: 'bad_request' },
    { body: { ids: ['a', 'a'], vectors: [vector, vector] }, code: 'invalid_points' },
    { body: { ids: ['a'], vectors: packed.slice(4) }, code: 'vector_dimension_mismatch' },
    { body: { ids: ['a'], vectors: [vector], texts: [] }, code: 'bad_request' },
    { body: `${JSON.stringify(point)}\n{"id":`, headers: NDJSON, code: 'invalid_points' },
    { body: '\n\n', headers: NDJSON, code: 'bad_request' },
    {
      ...{ body: 'id,vector', headers: { 'content-type': 'text/csv' } },
      ...{ status: 415, code: 'unsupported_media_type' },
    },
  ]
}

/** What was refused has no lsn. */
export async function checkUnchanged(run: ModelRun, index: ModelIndex): Promise<void> {
  const { lsn } = (await run.must('GET', `${index.path}/health`)) as { readonly lsn: number }
  assert.equal(lsn, index.lsn)
}
