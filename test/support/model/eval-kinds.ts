/**
 * Eval sets: queries with their exact neighbours, which must be the true ones when they are made.
 */

import assert from 'node:assert/strict'
import type { ModelIndex } from './model-index.ts'
import {
  always,
  answered,
  onIndex,
  refused,
  type ModelRun,
  type OperationKind,
} from './model-run.ts'
import { EVAL_NAMES } from './model-world.ts'
import { isClose } from './plain-distance.ts'

/** Fewer points make no set. */
const EVAL_POINTS_MIN = 10

export const EVAL_KINDS: readonly OperationKind[] = [
  onIndex('eval_put', 1, putEval),
  onIndex('eval_name', 1, async (run, index) => {
    const name = run.dice.pick(EVAL_NAMES)
    const body = { index: index.name, k: run.dice.int(1, 8) }
    const { state } = (await run.must('PUT', pathOf(name), body)) as { readonly state: string }
    assert.equal(state, 'empty')
    remember(run, name, index, { k: body.k, queries: 0 })
  }),
  onIndex('eval_autogen', 0.4, async (run, index) => {
    if (index.live < EVAL_POINTS_MIN) return
    const name = run.dice.pick(EVAL_NAMES)
    const body = { index: index.name, k: run.dice.int(1, 8), queries: 8, source: 'index' }
    const made = await run.must('POST', `${pathOf(name)}/autogen?wait=true`, body)
    const { state, tune_queries: tune, held_out_queries: heldOut } = made as EvalSet
    assert.equal(state, 'ready')
    assert.ok(tune >= 1 && heldOut >= 1 && tune + heldOut <= body.queries)
    remember(run, name, index, { k: body.k, queries: tune + heldOut })
    await checkTruth(run, index, name)
  }),
  always('eval_get', 4, async (run) => {
    const name = run.dice.pick(EVAL_NAMES)
    const reply = await run.send('GET', pathOf(name))
    if (run.world.evals.has(name)) checkEval(run, answered(reply, 200), name)
    else refused(reply, 404, 'eval_not_found')
  }),
  always('eval_list', 1, checkEvals),
  always('eval_delete', 1, async (run) => {
    const name = run.dice.pick(EVAL_NAMES)
    const reply = await run.send('DELETE', pathOf(name))
    if (run.world.evals.delete(name)) answered(reply, 204)
    else refused(reply, 404, 'eval_not_found')
  }),
  onIndex('eval_bad', 1, async (run, index) => {
    const vector = [...run.dice.vector(index.settings.dimension)]
    const [queries, code] = run.dice.pick([
      [[vector], 'bad_request'],
      [[vector, [...vector, 1]], 'vector_dimension_mismatch'],
      [[vector, vector.map(() => null)], 'invalid_vector'],
    ] as const)
    const body = { index: index.name, k: 3, queries }
    refused(await run.send('PUT', pathOf('bad'), body), 400, code)
  }),
]

interface EvalSet {
  readonly name: string
  readonly index: string
  readonly k: number
  readonly state: string
  readonly tune_queries: number
  readonly held_out_queries: number
}

interface EvalHalf {
  readonly queries: string
  readonly truth: readonly (readonly string[])[]
  readonly distances: readonly (readonly number[])[]
  readonly self_ids: readonly (string | null)[]
}

/** Every eval set, and no other. */
export async function checkEvals(run: ModelRun): Promise<void> {
  const { evals } = (await run.must('GET', '/vectors/hnsw/evals')) as {
    readonly evals: readonly EvalSet[]
  }
  assert.deepEqual(
    evals.map(({ name }) => name),
    [...run.world.evals.keys()].sort(),
  )
  for (const set of evals) checkEval(run, set, set.name)
}

async function putEval(run: ModelRun, index: ModelIndex): Promise<void> {
  if (index.live < EVAL_POINTS_MIN) return
  const { dice } = run
  const name = dice.pick(EVAL_NAMES)
  const k = dice.int(1, 8)
  const queries = Array.from({ length: dice.int(4, 10) }, () => {
    return [...dice.vector(index.settings.dimension)]
  })
  const body = { index: index.name, k, queries }
  await run.must('PUT', `${pathOf(name)}?wait=true`, body)
  remember(run, name, index, { k, queries: queries.length })
  await checkTruth(run, index, name)
}

function remember(
  { world }: ModelRun,
  name: string,
  { settings }: ModelIndex,
  { k, queries }: { readonly k: number; readonly queries: number },
): void {
  const { name: index, dimension, metric } = settings
  world.evals.set(name, { index, k, queries, dimension, metric })
}

function checkEval({ world }: ModelRun, json: unknown, name: string): void {
  const set = json as EvalSet
  const wanted = world.evals.get(name)
  assert.ok(wanted !== undefined)
  const state = wanted.queries === 0 ? 'empty' : 'ready'
  assert.deepEqual(
    [set.name, set.index, set.k, set.state, set.tune_queries + set.held_out_queries],
    [name, wanted.index, wanted.k, state, wanted.queries],
  )
}

/** The neighbours of a set that was made just now. */
async function checkTruth(run: ModelRun, index: ModelIndex, name: string): Promise<void> {
  const set = (await run.must('GET', `${pathOf(name)}?include=queries,truth`)) as EvalSet & {
    readonly tune: EvalHalf
    readonly held_out: EvalHalf
  }
  checkEval(run, set, name)
  const { dimension } = index.settings
  for (const half of [set.tune, set.held_out]) {
    const bytes = Uint8Array.from(Buffer.from(half.queries, 'base64'))
    const queries = new Float32Array(bytes.buffer)
    for (const [i, distances] of half.distances.entries()) {
      const vector = queries.subarray(i * dimension, (i + 1) * dimension)
      const self = half.self_ids[i] ?? null
      const nearest = index.nearest(vector, { filter: null, self }).slice(0, set.k)
      assert.equal(distances.length, nearest.length)
      assert.ok(
        distances.every((distance, rank) => isClose(distance, nearest[rank]?.distance ?? NaN)),
        `the truth of query ${i} of ${name}`,
      )
    }
  }
}

function pathOf(name: string): string {
  return `/vectors/hnsw/evals/${name}`
}
