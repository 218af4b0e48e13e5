/** A batch log of texts, over a clock that goes on with each look. */

import assert from 'node:assert/strict'
import { BatchLog, type BatchLogOptions } from '../../src/buckets/batch-log.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { VectordError } from '../../src/lib/errors.ts'

export const TEXT_PREFIX = 'log/x/'

let clockMs = 1_700_000_000_000

export function openTextLog(
  store: ObjectStore,
  options: Partial<BatchLogOptions<string>> = {},
): BatchLog<string> {
  return new BatchLog<string>({
    store: () => store,
    prefix: TEXT_PREFIX,
    codec: {
      toJson: (text) => ({ text }),
      fromJson: ({ text }) => {
        if (typeof text === 'string') return text
        throw new VectordError('object_corrupt', 'The line has no text.')
      },
    },
    nowMs: () => (clockMs += 1),
    onTrouble: (error) => assert.fail(String(error)),
    waitingMax: 1000,
    whenFull: 'refuse',
    ...options,
  })
}

export async function textsOf(log: BatchLog<string>): Promise<string[]> {
  return (await log.read()).entries.map(({ record }) => record)
}
