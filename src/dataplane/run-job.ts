/**
 * What a builder does for each kind of job.
 */

import { compare, findTruth, measure } from '../shard/bench-search.ts'
import type { Workbench } from '../shard/workbench.ts'
import type { AnyJob } from './builder-jobs.ts'

export async function runJob(
  bench: Workbench,
  job: AnyJob,
  onProgress: (fraction: number) => void,
): Promise<unknown> {
  switch (job.kind) {
    case 'describe':
      return bench.describe()
    case 'truth':
      return findTruth(bench, job.request, onProgress)
    case 'sampleRows':
      return bench.sampleRows(job.request, onProgress)
    case 'build':
      return bench.build(job.request, onProgress)
    case 'measure':
      return measure(bench, job.request, onProgress)
    case 'compare':
      return compare(bench, job.request, onProgress)
    case 'save':
      return bench.save(job.request)
  }
}
