/**
 * What goes with an index to another bucket.
 */

import type { ObjectInfo, ObjectStore } from '../buckets/object-store.ts'
import type { CheckpointContent } from '../domain/checkpoint.ts'
import { VectordError } from '../lib/errors.ts'
import { homeObjects, indexFolder, infoOf } from './index-objects.ts'
import { mergeContents } from './scatter.ts'
import type { ServedIndex } from './served-index.ts'

/** The newest checkpoint of all shards together; null where there is none. */
export function contentOf(index: ServedIndex): CheckpointContent | null {
  const checkpoints = index.specs().flatMap(({ checkpoint }) => checkpoint ?? [])
  return checkpoints.length === 0 ? null : mergeContents(checkpoints)
}

export interface LuggageOptions {
  readonly content: CheckpointContent | null
  /** Keys of the eval sets of the index, which may be gone. */
  readonly evalKeys: readonly string[]
}

/** Objects to copy. Parts and graphs that the checkpoint does not name are garbage, and stay. */
export async function luggage(
  source: ObjectStore,
  index: string,
  { content, evalKeys }: LuggageOptions,
): Promise<ObjectInfo[]> {
  const graphs = content?.graphs.flatMap(({ graph, labels }) => [graph.key, labels.key]) ?? []
  const named = new Set([...(content?.parts ?? []).map(({ key }) => key), ...graphs])
  const folder = indexFolder(index)
  const isGarbage = (key: string): boolean =>
    !named.has(key) && (key.startsWith(`${folder}parts/`) || key.startsWith(`${folder}graphs/`))
  const objects: ObjectInfo[] = []
  for await (const object of homeObjects(source, index)) {
    if (!isGarbage(object.key)) objects.push(object)
  }
  for (const key of evalKeys) {
    const info = await infoOf(source, key)
    if (info !== null) objects.push(info)
  }
  return objects
}

/** A graph may be missing, it is derived. @throws {VectordError} `object_not_found` for a part. */
export function checkComplete(
  objects: readonly ObjectInfo[],
  content: CheckpointContent | null,
): void {
  const there = new Set(objects.map(({ key }) => key))
  const missing = content?.parts.find(({ key }) => !there.has(key))
  if (missing === undefined) return
  const { key } = missing
  throw new VectordError('object_not_found', `The part "${key}" is gone.`, { details: { key } })
}
