/**
 * Moves of indexes between buckets: nothing that can be read changes, whatever comes between.
 */

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { checkIndex } from './index-kinds.ts'
import type { ModelIndex } from './model-index.ts'
import { answered, onIndex, refused, type ModelRun, type OperationKind } from './model-run.ts'
import { BUCKETS } from './model-world.ts'
import { adoptPromotions } from './promotion-kinds.ts'
import { checkWorld } from './restart-kinds.ts'
import { ended } from './upkeep-kinds.ts'
import { drawn, rowJson } from './write-kinds.ts'

/** A move of few points takes about so long. */
const KILL_AFTER_MS_MAX = 150

export const MOVE_KINDS: readonly OperationKind[] = [
  onIndex('move', 3, async (run, index) => {
    const bucket = otherBucket(index)
    const headers = run.dice.chance(0.5) ? { 'if-match': `"${index.revision}"` } : {}
    const reply = await run.send('PATCH', `${index.path}?wait=true`, { bucket }, headers)
    await moved(run, index, answered(reply, 200))
  }),
  onIndex('move_beside', 2, async (run, index) => {
    const id = await startMove(run, index)
    for (let write = 0; write < 3; write += 1) {
      const points = drawn(run, index)
      const body = { points: points.map(rowJson) }
      const { lsn } = (await run.must('POST', `${index.path}/points`, body)) as { lsn: number }
      assert.ok(lsn > index.lsn)
      index.upsert(lsn, points)
    }
    assert.equal(await ended(run, id), 'succeeded')
    await moved(run, index, await run.must('GET', index.path))
  }),
  onIndex('move_refused', 1, async (run, index) => {
    const stale = { 'if-match': `"${index.revision + 1}"` }
    const bucket = otherBucket(index)
    refused(await run.send('PATCH', index.path, { bucket }, stale), 412, 'revision_mismatch')
    const nowhere = { bucket: 'nowhere' }
    refused(await run.send('PATCH', index.path, nowhere), 404, 'bucket_not_found')
  }),
  onIndex('kill_while_moving', 0.4, async (run, index) => {
    await startMove(run, index)
    await sleep(run.dice.int(0, KILL_AFTER_MS_MAX))
    await run.server.kill()
    await run.server.startAgain()
    const json = await run.must('GET', index.path)
    const { bucket } = json as { readonly bucket: string }
    run.note(`bucket ${bucket} after ${index.settings.bucket}`)
    if (bucket === index.settings.bucket) {
      // It is called off a moment later, by one more revision; and can be made again at once.
      const wanted = { bucket: otherBucket(index) }
      await moved(run, index, await run.must('PATCH', `${index.path}?wait=true`, wanted))
    } else await moved(run, index, json)
    await checkWorld(run)
  }),
]

async function startMove(run: ModelRun, index: ModelIndex): Promise<string> {
  const body = { bucket: otherBucket(index) }
  const { operation_id: id } = (await run.must('PATCH', index.path, body, 202)) as {
    readonly operation_id: string
  }
  return id
}

/** The index is in its other bucket, with a revision of its own there. */
async function moved(run: ModelRun, index: ModelIndex, json: unknown): Promise<void> {
  const { revision } = json as { readonly revision: number }
  index.settings = { ...index.settings, bucket: otherBucket(index) }
  index.revision = revision
  checkIndex(json, index)
  await adoptPromotions(run, index)
}

function otherBucket({ settings }: ModelIndex): string {
  const other = BUCKETS.find((bucket) => bucket !== settings.bucket)
  assert.ok(other !== undefined)
  return other
}
