/**
 * The datasets of a bucket: what the newest document of each says, and every part that it names.
 */

import { DatasetStore } from '../../src/datasets/dataset-store.ts'
import { hasCode } from '../../src/lib/errors.ts'
import { type Finding, problemOf } from './finding.ts'
import { Files } from './inspect-index.ts'
import type { TargetBucket } from './target.ts'

/** @param known what was found among the documents already: none is told twice. */
export async function inspectDatasets(
  bucket: TargetBucket,
  known: readonly Finding[],
): Promise<readonly Finding[]> {
  const datasets = new DatasetStore({ store: bucket.store, nowMs: () => 0 })
  const findings: Finding[] = []
  for await (const name of datasets.names()) {
    const folder = `_datasets/${name}/meta/`
    try {
      const found = await datasets.read(name)
      const files = new Files(bucket, null)
      for (const part of found?.document.parts ?? []) {
        const loss = `${part.rows} rows of the dataset "${name}"`
        findings.push(...(await files.check(part, null)).map((one) => ({ ...one, loss })))
      }
    } catch (error) {
      if (!hasCode(error, 'object_corrupt', 'format_too_new')) throw error
      if (known.some(({ key }) => key.startsWith(folder))) continue
      const loss = `the dataset "${name}", whose parts are there`
      const kind = 'damaged'
      findings.push({
        key: folder,
        index: null,
        kind,
        problem: problemOf(error),
        loss,
        repair: null,
      })
    }
  }
  return findings
}
