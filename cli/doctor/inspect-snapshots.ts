/**
 * The snapshots of a bucket: each document, and every file that it names.
 */

import type { ObjectInfo } from '../../src/buckets/object-store.ts'
import { hasCode } from '../../src/lib/errors.ts'
import { decodeSnapshot } from '../../src/snapshots/snapshot-codec.ts'
import { filesOf } from '../../src/snapshots/snapshot.ts'
import { type Finding, problemOf } from './finding.ts'
import { Files } from './inspect-index.ts'
import type { TargetBucket } from './target.ts'

const FOLDER = /^_snapshots\/([^/]+)\/([^/]+)\//

/**
 * @param objects of the bucket.
 * @param indexes only the snapshots of these; null for all.
 */
export async function inspectSnapshots(
  bucket: TargetBucket,
  objects: readonly ObjectInfo[],
  indexes: readonly string[] | null,
): Promise<readonly Finding[]> {
  const folders = Map.groupBy(objects, ({ key }) => FOLDER.exec(key)?.[0])
  const findings: Finding[] = []
  for (const [folder, own] of folders) {
    const [, index = '', id = ''] = FOLDER.exec(folder ?? '') ?? []
    if (folder === undefined || indexes?.includes(index) === false) continue
    const isFinished = own.some(({ key }) => key === `${folder}snapshot.json`)
    const found = isFinished
      ? await inspectSnapshot(bucket, { folder, index, id })
      : [unfinished(folder, index)]
    findings.push(...found)
  }
  return findings
}

interface Place {
  readonly folder: string
  readonly index: string
  readonly id: string
}

async function inspectSnapshot(bucket: TargetBucket, place: Place): Promise<readonly Finding[]> {
  const { folder, index, id } = place
  const key = `${folder}snapshot.json`
  const loss = `snapshot ${id} of "${index}"`
  try {
    const snapshot = decodeSnapshot(key, await bucket.store.get(key), { index, id })
    const files = new Files(bucket, index)
    const parts = new Set(snapshot.content?.parts.map((part) => part.key))
    const findings: Finding[] = []
    for (const file of filesOf(snapshot)) {
      const found = await files.check({ ...file, key: `${folder}${file.key}` }, null)
      // A restore leaves out graphs that are damaged, and builds them.
      findings.push(...found.map((one) => (parts.has(file.key) ? { ...one, loss } : one)))
    }
    return findings
  } catch (error) {
    if (!hasCode(error, 'object_corrupt', 'format_too_new')) throw error
    return [{ key, index, kind: 'damaged', problem: problemOf(error), loss, repair: null }]
  }
}

function unfinished(key: string, index: string): Finding {
  const problem = 'a snapshot that did not come to its end: the service clears it away'
  return { key, index, kind: 'leftover', problem, loss: null, repair: null }
}
