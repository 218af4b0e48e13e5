/**
 * What an index keeps although it could be made anew: graphs of trials, and the copy of its
 * promotions for people.
 */

import type { ObjectInfo } from '../../src/buckets/object-store.ts'
import { decodeRevision } from '../../src/buckets/revision-codec.ts'
import { hasCode } from '../../src/lib/errors.ts'
import { graphsFromJson } from '../../src/log/checkpoint-manifest.ts'
import { type Finding, problemOf } from './finding.ts'
import { Files } from './inspect-index.ts'
import type { TargetBucket } from './target.ts'

const DESCRIPTION = /^_hnsw_graphs\/[^/]+\/([0-9a-f]+)\.json$/

/** @param objects those of the index. */
export async function inspectCache(
  bucket: TargetBucket,
  index: string,
  objects: readonly ObjectInfo[],
): Promise<Finding[]> {
  const keys = objects.map(({ key }) => key)
  const findings: Finding[] = []
  const described = new Set<string>()
  for (const key of keys) {
    const graphId = DESCRIPTION.exec(key)?.[1]
    if (graphId === undefined) continue
    const files = keys.filter((one) => one.startsWith(`_hnsw_graphs/${index}/${graphId}`))
    for (const file of files) described.add(file)
    findings.push(...(await inspectGraph(bucket, index, { key, files })))
  }
  for (const key of keys) {
    if (!key.startsWith(`_hnsw_graphs/${index}/`) || described.has(key)) continue
    const problem = 'no description names it'
    const repair = { kind: 'delete', keys: [key] } as const
    findings.push({ key, index, kind: 'leftover', problem, loss: null, repair })
  }
  return [...findings, ...(await inspectCopy(bucket, index, keys))]
}

/** Where one of its files is damaged, the whole graph is of no use: its description goes first. */
async function inspectGraph(
  bucket: TargetBucket,
  index: string,
  { key, files }: { readonly key: string; readonly files: readonly string[] },
): Promise<Finding[]> {
  const all = [key, ...files.filter((file) => file !== key)]
  try {
    const text = Buffer.from(await bucket.store.get(key)).toString()
    const found: Finding[] = []
    const checks = new Files(bucket, index)
    for (const { graph, labels } of graphsFromJson(key, parse(text))) {
      for (const file of [graph, labels]) found.push(...(await checks.check(file, all)))
    }
    return found
  } catch (error) {
    if (!hasCode(error, 'object_corrupt') && !(error instanceof SyntaxError)) throw error
    const repair = { kind: 'delete', keys: all } as const
    return [{ key, index, kind: 'damaged', problem: problemOf(error), loss: null, repair }]
  }
}

function parse(text: string): Record<string, unknown> {
  const json: unknown = JSON.parse(text)
  const isKnown = typeof json === 'object' && json !== null && 'format' in json && json.format === 1
  if (isKnown) return { ...json }
  throw new SyntaxError('it is no description of format 1')
}

async function inspectCopy(
  { store }: TargetBucket,
  index: string,
  keys: readonly string[],
): Promise<Finding[]> {
  const to = `_hnsw_promotions/${index}.json`
  const revisions = keys.filter((key) => /^_hnsw_promotions\/[^/]+\/\d{10}\.json$/.test(key))
  const from = revisions.sort().at(-1)
  // Without revisions the copy is what an older layout wrote, and no copy.
  if (from === undefined || !keys.includes(to)) return []
  // A newest revision that is damaged itself is found as such, and nothing to copy from.
  const [copy, newest] = await Promise.all([store.get(to), store.get(from)])
  if (Buffer.compare(copy, newest) === 0 || !isWhole(from, newest)) return []
  const problem = 'it is not the newest revision'
  return [
    { key: to, index, kind: 'stale', problem, loss: null, repair: { kind: 'copy', from, to } },
  ]
}

function isWhole(key: string, body: Uint8Array): boolean {
  try {
    decodeRevision(key, body)
    return true
  } catch {
    return false
  }
}
