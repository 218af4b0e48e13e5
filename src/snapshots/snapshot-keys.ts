/**
 * What the files of a snapshot are called: in its folder, and in an index that is made of it.
 */

import { randomBytes } from 'node:crypto'
import type { CheckpointContent } from '../domain/checkpoint.ts'
import type { IndexMeta } from '../indexes/index-meta.ts'
import { indexFolder } from '../indexes/index-objects.ts'
import type { CarriedFile } from './carried-files.ts'
import { filesOf } from './snapshot.ts'

/** Keys of a snapshot's files, relative to its folder. */
export function numbered({ parts, graphs }: CheckpointContent): Map<string, string> {
  const names = new Map<string, string>()
  for (const [i, { key }] of parts.entries()) names.set(key, `parts/${i + 1}.parquet`)
  for (const [i, { graph, labels }] of graphs.entries()) {
    names.set(graph.key, `graphs/${i + 1}.hnsw`)
    names.set(labels.key, `graphs/${i + 1}.labels`)
  }
  return names
}

/** Keys as those of a checkpoint that the index itself wrote; none is ever written twice. */
export function keysInIndex(
  { parts, graphs }: CheckpointContent,
  { name, incarnation }: IndexMeta,
): Map<string, string> {
  const keys = new Map<string, string>()
  const add = (key: string, folder: string, what: string): void => {
    const unique = randomBytes(6).toString('hex')
    const extension = key.slice(key.lastIndexOf('.'))
    keys.set(key, `${indexFolder(name)}${folder}/${incarnation}-${what}-${unique}${extension}`)
  }
  for (const { key, shard, lastLsn } of parts) add(key, 'parts', `${shard}-${lastLsn}`)
  for (const { graph, labels, shard, generation, indexedLsn } of graphs) {
    for (const { key } of [graph, labels]) {
      add(key, 'graphs', `${shard}-${generation}-${indexedLsn}`)
    }
  }
  return keys
}

/** The files of a checkpoint on their way: what is no part can be made again. */
export function carried(content: CheckpointContent, toKey: (key: string) => string): CarriedFile[] {
  const parts = new Set(content.parts.map(({ key }) => key))
  return filesOf({ content }).map((file) => ({
    ...{ file, toKey: toKey(file.key), isDerived: !parts.has(file.key) },
  }))
}
