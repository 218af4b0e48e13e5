/**
 * Ends of the server and its starts: everything is there afterwards, as it was answered.
 */

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Reply } from '../service.ts'
import { checkEvals } from './eval-kinds.ts'
import { checkList } from './index-kinds.ts'
import type { ModelIndex } from './model-index.ts'
import { always, answered, onIndex, type ModelRun, type OperationKind } from './model-run.ts'
import { checkObjects } from './object-kinds.ts'
import { checkPromotions } from './promotion-kinds.ts'
import { scrollWhole } from './read-kinds.ts'
import { checkVerify } from './upkeep-kinds.ts'
import { adoptRevived } from './version-kinds.ts'
import { doomed, drawn, rowJson } from './write-kinds.ts'

/** A write takes about so long, whatever the disk. */
const KILL_AFTER_MS_MAX = 6

export const RESTART_KINDS: readonly OperationKind[] = [
  always('restart', 0.25, async (run) => {
    await run.server.stop()
    await run.server.startAgain()
    await checkWorld(run)
  }),
  always('kill', 0.25, async (run) => {
    await run.server.kill()
    await run.server.startAgain()
    await checkWorld(run)
  }),
  onIndex('kill_while_writing', 0.4, killWhileWriting),
]

/** Compares everything there is. */
export async function checkWorld(run: ModelRun): Promise<void> {
  await checkList(run)
  for (const index of run.world.indexes.values()) {
    await scrollWhole(run, index, { filter: null })
    await checkPromotions(run, index)
    await checkVerify(run, index)
    await adoptRevived(run, index)
  }
  await checkEvals(run)
  await checkObjects(run)
}

/** A write that was cut off is there whole or not at all; one that was answered is there. */
async function killWhileWriting(run: ModelRun, index: ModelIndex): Promise<void> {
  const points = drawn(run, index)
  const ids = run.dice.chance(0.3) ? doomed(run, index) : null
  const sent: Promise<Reply | null> = (
    ids === null
      ? run.send('POST', `${index.path}/points`, { points: points.map(rowJson) })
      : run.send('POST', `${index.path}/points/delete`, { ids })
  ).catch(() => null)
  await sleep(run.dice.int(0, KILL_AFTER_MS_MAX))
  const [reply] = await Promise.all([sent, run.server.kill()])
  await run.server.startAgain()
  const health = (await run.must('GET', `${index.path}/health`)) as { readonly lsn: number }
  if (reply !== null) {
    const { lsn } = answered(reply, 200) as { readonly lsn: number }
    assert.equal(health.lsn, lsn, 'what was answered is there')
  }
  run.note(`lsn ${health.lsn} after ${index.lsn}`)
  if (health.lsn !== index.lsn) {
    assert.ok(health.lsn > index.lsn, `lsn ${health.lsn} after ${index.lsn}`)
    if (ids === null) index.upsert(health.lsn, points)
    else index.delete(health.lsn, ids)
  }
  await checkWorld(run)
}
