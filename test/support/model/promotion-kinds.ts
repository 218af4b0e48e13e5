/**
 * Configurations: trials, promotions, and steps back and forth through their history.
 */

import assert from 'node:assert/strict'
import type { Reply } from '../service.ts'
import type { ModelIndex } from './model-index.ts'
import type { ModelEntry } from './model-promotions.ts'
import { answered, onIndex, refused, type ModelRun, type OperationKind } from './model-run.ts'
import { ended } from './upkeep-kinds.ts'

/** Fewer points make no trial. */
const TRIAL_POINTS_MIN = 10

export const PROMOTION_KINDS: readonly OperationKind[] = [
  onIndex('trial', 1.2, trial),
  onIndex('promote', 5, promote),
  onIndex('promote_once', 1, promoteOnce),
  onIndex('promote_unknown', 1, async (run, index) => {
    const others = [...run.world.indexes.values()].filter((other) => other !== index)
    const foreign = others.flatMap(({ trials }) => trials)
    const id = foreign.length > 0 ? run.dice.pick(foreign) : 't-nobody'
    const reply = await run.send('POST', `/vectors/hnsw/promote/${index.name}/${id}`)
    refused(reply, 404, 'trial_not_found')
  }),
  onIndex('rollback', 4, async (run, index) => {
    const { promotions } = index
    const reply = await step(run, index, 'rollback')
    if (!promotions.canRollBack) refused(reply, 409, 'no_promotion_to_roll_back')
    else {
      promotions.rollBack()
      await checkChanged(run, index, reply)
    }
  }),
  onIndex('rollforward', 4, async (run, index) => {
    const { promotions } = index
    const reply = await step(run, index, 'rollforward')
    if (promotions.redo.length === 0) refused(reply, 409, 'nothing_to_roll_forward')
    else {
      promotions.rollForward()
      await checkChanged(run, index, reply)
    }
  }),
  onIndex('promotion_stale', 1, async (run, index) => {
    const headers = { 'if-match': `"${index.promotions.revision + 1}"` }
    const path = `/vectors/hnsw/rollback/${index.name}`
    refused(await run.send('POST', path, undefined, headers), 412, 'revision_mismatch')
  }),
  onIndex('pin', 1, async (run, index) => {
    const pinned = run.dice.chance(0.5)
    const path = `/vectors/hnsw/promoted/${index.name}/pin`
    const reply = await run.send('PUT', path, { pinned })
    const { promotions } = index
    if (promotions.current === null) {
      refused(reply, 409, 'nothing_to_pin')
      return
    }
    const { pinned: before, ...entry } = promotions.current
    promotions.current = { ...entry, ...(pinned && { pinned }) }
    // What changes nothing is no revision.
    if ((before === true) !== pinned) promotions.revision += 1
    checkPromoted(answered(reply, 200), index)
  }),
  onIndex('promoted', 6, checkPromotions),
]

interface Promoted {
  readonly revision: number
  readonly current: ModelEntry | null
  readonly history: readonly ModelEntry[]
  readonly redo: readonly ModelEntry[]
  readonly operation_id?: string | null
}

/** What is promoted, what was, and that every change is in the audit. */
export async function checkPromotions(run: ModelRun, index: ModelIndex): Promise<void> {
  const path = `/vectors/hnsw/promoted/${index.name}`
  const reply = await run.send('GET', path)
  checkPromoted(answered(reply, 200), index)
  assert.equal(reply.headers.get('etag'), `"${index.promotions.revision}"`)
  const { entries } = (await run.must('GET', `${path}/audit?limit=1000`)) as {
    readonly entries: readonly { readonly error: unknown }[]
  }
  assert.ok(entries.every(({ error }) => error === null))
}

/**
 * Takes the revision of a document that is at a new place: the numbers there go on from those of
 * whatever was there before. Its content has to be that of the model.
 */
export async function adoptPromotions(run: ModelRun, index: ModelIndex): Promise<void> {
  const promoted = await run.must('GET', `/vectors/hnsw/promoted/${index.name}`)
  index.promotions.revision = (promoted as Promoted).revision
  checkPromoted(promoted, index)
}

async function trial(run: ModelRun, index: ModelIndex): Promise<void> {
  const { dice, world } = run
  const [evalName] = dice.some([...world.evals.keys()], 1)
  if (evalName === undefined || index.live < TRIAL_POINTS_MIN) return
  const config = { m: dice.pick([4, 8, 16]), ef_construction: dice.int(20, 60) }
  const body = { index: index.name, eval: evalName, config }
  const reply = await run.send('POST', '/vectors/hnsw/trial?wait=true', body)
  const set = world.evals.get(evalName)
  const { dimension, metric } = index.settings
  const fits = set?.index === index.name && set.dimension === dimension && set.metric === metric
  if (!fits || set.queries === 0) {
    refused(reply, 409, 'not_configured')
    return
  }
  const ran = answered(reply, 200) as { readonly trial_id: string; readonly state: string }
  assert.ok(['completed', 'infeasible'].includes(ran.state), reply.text)
  index.trials.push(ran.trial_id)
}

async function promote(run: ModelRun, index: ModelIndex): Promise<void> {
  if (index.trials.length === 0) return
  const id = run.dice.pick(index.trials)
  const reply = await step(run, index, `promote`, `/${id}`)
  const { current } = answered(reply, 200) as Promoted
  assert.ok(current !== null)
  assert.equal(current.trial_id, id)
  index.promotions.promote(current)
  await checkChanged(run, index, reply)
}

/** Sent again under its key it is promoted once. */
async function promoteOnce(run: ModelRun, index: ModelIndex): Promise<void> {
  if (index.trials.length === 0) return
  const path = `/vectors/hnsw/promote/${index.name}/${run.dice.pick(index.trials)}?rebuild=lazy`
  const headers = { 'idempotency-key': `promote-${run.number}` }
  const first = await run.send('POST', path, undefined, headers)
  const { current } = answered(first, 200) as Promoted
  assert.ok(current !== null)
  index.promotions.promote(current)
  const again = await run.send('POST', path, undefined, headers)
  assert.deepEqual(answered(again, 200), first.body)
  await checkPromotions(run, index)
}

function step(run: ModelRun, index: ModelIndex, verb: string, rest = ''): Promise<Reply> {
  const { dice } = run
  const rebuild = dice.chance(0.6) ? 'now' : 'lazy'
  const headers = dice.chance(0.3) ? { 'if-match': `"${index.promotions.revision}"` } : {}
  const path = `/vectors/hnsw/${verb}/${index.name}${rest}?rebuild=${rebuild}`
  return run.send('POST', path, undefined, headers)
}

/** The model has the change; the answer has to show it. Waits for the build, or not. */
async function checkChanged(run: ModelRun, index: ModelIndex, reply: Reply): Promise<void> {
  const changed = answered(reply, 200) as Promoted
  checkPromoted(changed, index)
  assert.equal(reply.headers.get('etag'), `"${index.promotions.revision}"`)
  const { operation_id: id = null } = changed
  if (id !== null && run.dice.chance(0.5)) assert.equal(await ended(run, id), 'succeeded')
}

function checkPromoted(json: unknown, { promotions }: ModelIndex): void {
  const { revision, current, history, redo } = json as Promoted
  assert.deepEqual(
    { revision, current, history, redo },
    {
      revision: promotions.revision,
      current: promotions.current,
      history: promotions.history,
      redo: promotions.redo,
    },
  )
}
