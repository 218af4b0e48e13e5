/**
 * A process that reads a table of a database once, so that its memory and CPU are of that reading alone.
 */

import { WorkerProcess } from './worker-process.ts'

/** `plain` is the driver's own stream of rows as arrays; the others are our source. */
export const SQL_READERS = ['plain', 'table', 'key', 'query', 'ordered query'] as const
export type SqlReaderKind = (typeof SQL_READERS)[number]

export interface SqlReadCall {
  readonly reader: SqlReaderKind
  readonly dsn: string
  readonly table: string
}

export interface SqlReadTimes {
  readonly rows: number
  readonly ms: number
  /** Of all threads of the process. */
  readonly cpuMs: number
  /** The most that the process has taken since it was started. */
  readonly rssMib: number
}

export async function readInProcess(call: SqlReadCall): Promise<SqlReadTimes> {
  const worker = new WorkerProcess<SqlReadCall, SqlReadTimes>(
    new URL('sql-read-worker.ts', import.meta.url),
  )
  try {
    return await worker.call(call)
  } finally {
    await worker.close()
  }
}
