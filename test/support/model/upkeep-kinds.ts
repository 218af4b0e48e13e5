/**
 * Maintenance of indexes: none of it changes what can be read.
 */

import assert from 'node:assert/strict'
import type { ModelIndex } from './model-index.ts'
import { always, onIndex, refused, type ModelRun, type OperationKind } from './model-run.ts'

export const UPKEEP_KINDS: readonly OperationKind[] = [
  onIndex('checkpoint', 4, async (run, index) => {
    const path = `${index.path}/checkpoint?wait=true`
    const { lsn } = (await run.must('POST', path)) as { readonly lsn: number }
    assert.equal(lsn, index.lsn)
  }),
  onIndex('verify', 5, checkVerify),
  onIndex('rebuild', 0.8, (run, index) => rebuild(run, index, 'rebuild')),
  onIndex('compact', 0.8, (run, index) => rebuild(run, index, 'compact')),
  onIndex('rebuild_beside', 0.6, async (run, index) => {
    await run.must('POST', `${index.path}/rebuild`, undefined, 202)
  }),
  onIndex('rebuild_cancelled', 0.6, async (run, index) => {
    const started = await run.must('POST', `${index.path}/rebuild`, undefined, 202)
    const { operation_id: id } = started as { readonly operation_id: string }
    const { status, text } = await run.send('DELETE', `/operations/${id}`)
    assert.ok(status === 200 || status === 202, text)
    const state = await ended(run, id)
    assert.ok(state === 'cancelled' || state === 'succeeded', state)
  }),
  onIndex('generations', 5, async (run, index) => {
    const shown = (await run.must('GET', `${index.path}/generations`)) as {
      readonly config: unknown
      readonly config_source: string
    }
    const { current, source } = index.promotions
    assert.deepEqual(shown.config, current?.['config'] ?? index.settings.hnsw)
    assert.equal(shown.config_source, source)
  }),
  always('absent_operation', 1, async (run) => {
    refused(await run.send('GET', '/operations/000000000000-nobody'), 404, 'operation_not_found')
  }),
  always('ready', 1, async (run) => {
    await run.must('GET', '/readyz')
  }),
]

/** A graph that is published between two looks has a right to a look of its own. */
const LOOKS_MAX = 3

/**
 * Log, checkpoint and shards agree, and there are as many points as in the model. What no walk over
 * few links reaches is found by a look and searched exactly from then on.
 */
export async function checkVerify(run: ModelRun, index: ModelIndex): Promise<void> {
  for (let look = 1; ; look += 1) {
    const { clean, faults, live_points } = (await run.must(
      'POST',
      `${index.path}/verify?wait=true`,
    )) as Verified
    assert.equal(live_points, index.live)
    assert.equal(clean, faults.length === 0)
    if (clean) return
    assert.ok(
      faults.every(({ what }) => what === 'findability') && look < LOOKS_MAX,
      JSON.stringify(faults),
    )
  }
}

interface Verified {
  readonly clean: boolean
  readonly faults: readonly { readonly what: string }[]
  readonly live_points: number
}

async function rebuild(run: ModelRun, index: ModelIndex, verb: string): Promise<void> {
  const rebuilt = await run.must('POST', `${index.path}/${verb}?wait=true`)
  const { generation, before } = rebuilt as { readonly generation: number; readonly before: number }
  assert.ok(generation > before, `generation ${generation} after ${before}`)
}

/** Waits for an operation. @returns how it ended. */
export async function ended(run: ModelRun, id: string): Promise<string> {
  const { body } = await run.server.service.eventually(`/operations/${id}`, ({ body: json }) => {
    const { state } = json as { readonly state: string }
    return !['queued', 'running'].includes(state)
  })
  return (body as { readonly state: string }).state
}
