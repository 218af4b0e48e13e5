/**
 * Data planes for tests: real processes, a clock that the test moves, everything ended afterwards.
 */

import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { CoreStatus } from '../../src/dataplane/core-status.ts'
import { Dataplane, type DataplaneOptions } from '../../src/dataplane/dataplane.ts'
import type { RemoteShard } from '../../src/dataplane/remote-shard.ts'
import { VectordError, type ErrorCode } from '../../src/lib/errors.ts'
import { FAKE_HOST } from './specs.ts'

export class TestPlane {
  readonly plane: Dataplane
  readonly events: {
    readonly message: string
    readonly fields: Readonly<Record<string, unknown>>
  }[] = []
  nowMs = 0

  constructor(test: TestContext, options: Partial<DataplaneOptions> = {}) {
    this.plane = new Dataplane({
      cores: 1,
      hostModule: FAKE_HOST,
      restartMinMs: 10,
      restartMaxMs: 50,
      nowMs: () => this.nowMs,
      log: (_level, fields, message) => void this.events.push({ message, fields }),
      ...options,
    })
    test.after(() => this.plane.close(500))
  }

  status(core = 0): CoreStatus {
    const status = this.plane.cores()[core]
    assert.ok(status !== undefined)
    return status
  }

  /** Ends the process of a core the way that native code does. */
  abort(core = 0): void {
    const { pid } = this.status(core)
    assert.ok(pid !== null)
    process.kill(pid, 'SIGABRT')
  }
}

/** Waits until `holds`; a test that waits for what never comes is ended by the runner. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await delay(2)
}

export async function serving(shard: RemoteShard): Promise<void> {
  await until(() => shard.state === 'ready')
}

/** The error that `promise` rejects with, which must be an operating error with `code`. */
export async function refused(promise: Promise<unknown>, code: ErrorCode): Promise<VectordError> {
  const error = await promise.then(
    () => assert.fail(`expected ${code}`),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof VectordError, String(error))
  assert.equal(error.code, code, error.message)
  return error
}
