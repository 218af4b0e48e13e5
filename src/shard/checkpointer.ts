/** placeholder */
import type { CheckpointContent } from '../domain/checkpoint.ts'
import type { ShardGraph } from './graph.ts'
import type { PointTable } from './point-table.ts'
export class Checkpointer {
  readonly deletes = new Map<string, number>()
  run(
    _s: { table: PointTable; graph: ShardGraph; lsn: number },
    _g: 'always' | 'if_worth',
  ): Promise<CheckpointContent> {
    return Promise.reject(new Error('no'))
  }
  async close(): Promise<void> {}
}
