/** The drop worker and the storage reports of tests of routes: what they tell is made up. */

import type { DropRoutesOptions } from '../../routes/drops.ts'

const NOTHING = { objects: 0, bytes: 0 }
const SOME = { objects: 2, bytes: 1024 }

export function memoryDrops(nowMs: number): Pick<DropRoutesOptions, 'drops' | 'reports'> {
  const classes = { live: SOME, superseded: SOME, orphaned: NOTHING }
  return {
    drops: {
      status: {
        ...{ waiting: 1, waitingMax: 256, senders: 0 },
        pending: { checkpoints: 1, log_segments: 1 },
        failing: [
          {
            ...{ kind: 'checkpoints', key: 'docs', attempts: 3 },
            ...{ message: 'It does not answer.', atMs: nowMs },
          },
        ],
        pins: [{ kind: 'checkpoints', key: 'docs', version: 7, readers: 1 }],
        dropped: { checkpoints: SOME, log_segments: NOTHING },
      },
      droppedOf: () => ({ checkpoints: SOME, log_segments: NOTHING }),
    },
    reports: {
      of: () =>
        Promise.resolve({
          bucket: 'primary',
          total: { objects: 4, bytes: 2048 },
          classes,
          folders: [{ folder: 'parts', classes }],
        }),
    },
  }
}
