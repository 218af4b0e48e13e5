/**
 * The drop worker of one index in the test's own process: it works when it is told to.
 */

import { CheckpointDrops, LogDrops, requestDrops } from '../../src/indexes/index-drops.ts'
import type { IndexDropping } from '../../src/indexes/index-checkpoints.ts'
import type { ServedIndex } from '../../src/indexes/served-index.ts'
import { DropWorker } from '../../src/versions/drop-worker.ts'
import { Pins } from '../../src/versions/pins.ts'

export interface TestDrops {
  readonly worker: DropWorker
  readonly pins: Pins
  /** False leaves what checkpoints ask for waiting. Default true. */
  isPrompt: boolean
  /** What a `ServedIndex` is given. */
  readonly ofIndex: IndexDropping
  /** Asks for everything that a crash may have left, as after a start, and drops it. */
  sweep(): Promise<void>
}

/** @param keep checkpoints that are kept. */
export function indexDrops(index: () => ServedIndex, keep: number): TestDrops {
  const pins = new Pins()
  const worker = new DropWorker({
    handlers: {
      checkpoints: new CheckpointDrops(index),
      log_segments: new LogDrops(index),
    },
    pins,
    ...{ queueMax: 256, batchMax: 100, batchMs: 3_600_000, sliceDeletes: 1e6, tickMs: 1 },
    nowMs: () => 0,
    // What fails is seen in the status of the worker.
    onTrouble: () => undefined,
  })
  const request = (isAlone: boolean): Promise<void> =>
    requestDrops(worker, index().info, isAlone ? 1 : keep)
  const drops: TestDrops = {
    ...{ worker, pins, isPrompt: true },
    ofIndex: {
      pins,
      onCheckpoint: async (isAlone) => {
        await request(isAlone)
        if (drops.isPrompt) await worker.flush()
      },
    },
    sweep: async () => {
      await request(false)
      await worker.flush()
    },
  }
  return drops
}
