/**
 * Moves of indexes to other buckets as operations: one at a time on each index.
 *
 * Cancelling one calls the move off, until it has switched; then it runs to its end.
 */

import type { IndexRegistry } from '../indexes/index-registry.ts'
import type { ManagedIndex, WriteCondition } from '../indexes/index-api.ts'
import type { Operation } from './operation.ts'
import type { OperationKind, Operations } from './operations.ts'

export interface MovesOptions {
  readonly operations: Operations
  readonly indexes: Pick<IndexRegistry, 'checkMove' | 'move'>
}

export interface MoveWish {
  readonly bucket: string
  /** Must hold when the move begins. */
  readonly condition: WriteCondition
  /** What a client that waits is sent. */
  readonly answer: (index: ManagedIndex) => object
}

export class Moves {
  readonly #options: MovesOptions
  readonly #kind: OperationKind<object>

  constructor(options: MovesOptions) {
    this.#options = options
    this.#kind = options.operations.ofKind('move')
  }

  /** For a refusal before anything is changed. @throws as `IndexRegistry.checkMove`. */
  check(index: string, bucket: string, condition: WriteCondition): Promise<void> {
    return this.#options.indexes.checkMove(index, bucket, condition)
  }

  /** @throws {VectordError} `shutting_down`. */
  start(index: string, { bucket, condition, answer }: MoveWish): Operation<object> {
    const work: Parameters<OperationKind<object>['start']>[1] = async (control) =>
      answer(await this.#options.indexes.move(index, bucket, condition, control))
    // Whoever waits with another condition must not be answered by the move of somebody else.
    return this.#kind.start(index, work, `${bucket} ${condition.ifRevision ?? ''}`)
  }
}
