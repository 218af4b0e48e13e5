/**
 * The messages between front and builder.
 */

import type { Dataset, WorkbenchJob, WorkbenchJobs } from '../domain/workbench.ts'

export type AnyJob = {
  readonly [K in WorkbenchJob]: { readonly kind: K; readonly request: WorkbenchJobs[K]['request'] }
}[WorkbenchJob]

export interface BuilderRequest {
  readonly dataset: Dataset
  readonly job: AnyJob
}

export interface BuilderProgress {
  readonly stage: string
  /** From 0 to 1. */
  readonly fraction: number
}

/** Tells whether a builder holds the points of a job already. */
export function datasetKey({ shards }: Dataset): string {
  const [first] = shards
  return JSON.stringify([
    first?.index,
    first?.incarnation,
    first?.checkpoint?.lsn ?? 0,
    first?.bucket,
  ])
}
