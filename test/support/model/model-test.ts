/**
 * The model test (T2): seeded random operations of every kind against a real server and against a
 * plain model of it in memory; each answer is compared whole.
 *
 *     seed, number ─▶ dice ─▶ kind ─▶ request ─▶ server
 *                               ╰────▶ model  ──compare──╯      at the end: everything, and recall
 *
 * The same seed gives the same operations, but for what a kill decides and for ids that the server
 * draws. A failure names the seed, the number, and what was sent lately.
 */

import { inspect } from 'node:util'
import assert from 'node:assert/strict'
import { Dice } from './dice.ts'
import { drawKind } from './kinds.ts'
import { ModelRun, Trail, type OperationKind, type RecallTally } from './model-run.ts'
import { ModelServer } from './model-server.ts'
import { ModelWorld } from './model-world.ts'
import { checkWorld } from './restart-kinds.ts'

/** Operations that a failure tells of. */
const TOLD = 20
/** Of searches over graphs with few links, all together. */
const RECALL_MIN = 0.95
const RECALL_WANTED_MIN = 1000

export interface ModelOptions {
  /** An empty folder. */
  readonly folder: string
  readonly seed: number
  readonly operations: number
}

export interface ModelCounts {
  operations: number
  /** How often each kind was done. */
  readonly kinds: Record<string, number>
  readonly recall: RecallTally
}

/** @throws {Error} with the seed and the operation where an answer is not that of the model. */
export async function modelTest({ folder, seed, operations }: ModelOptions): Promise<ModelCounts> {
  const counts: ModelCounts = { operations: 0, kinds: {}, recall: { wanted: 0, found: 0 } }
  const { recall } = counts
  const server = await ModelServer.start(folder)
  const world = new ModelWorld()
  const trail = new Trail()
  const at = (number: number): ModelRun =>
    new ModelRun({ number, dice: new Dice(seed, number), world, server, trail, recall })
  try {
    for (let number = 1; number <= operations; number += 1) {
      const run = at(number)
      const kind = drawKind(run.dice)
      await told(run, { seed, trail, kind }, kind.run)
      counts.operations += 1
      counts.kinds[kind.name] = (counts.kinds[kind.name] ?? 0) + 1
    }
    const last = { name: 'everything', weight: 0, run: checkWorld }
    await told(at(operations + 1), { seed, trail, kind: last }, checkWorld)
    if (recall.wanted >= RECALL_WANTED_MIN) {
      assert.ok(recall.found >= RECALL_MIN * recall.wanted, `recall ${inspect(recall)}`)
    }
    return counts
  } finally {
    await server.kill()
  }
}

interface Told {
  readonly seed: number
  readonly trail: Trail
  readonly kind: OperationKind
}

async function told(
  run: ModelRun,
  { seed, trail, kind }: Told,
  work: (run: ModelRun) => Promise<void>,
): Promise<void> {
  run.note(kind.name)
  try {
    await work(run)
  } catch (cause) {
    const log = run.server.service.log.slice(-10).join('\n')
    const lately = trail.since(run.number - TOLD)
    const message = `seed ${seed}, operation ${run.number}, ${kind.name}\n${lately}\n${log}`
    throw new Error(message, { cause })
  }
}
