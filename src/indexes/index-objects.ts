/**
 * Which objects of a bucket belong to which index.
 *
 *     _indexes/{index}/meta/…  log/…  checkpoints/…  parts/…  graphs/…  owner/…  live_ef/…
 *     _hnsw_promotions/{index}/…   _hnsw_trials/{index}/…   …      see `SIDE_FOLDERS`
 */

import type { ObjectInfo, ObjectStore } from '../buckets/object-store.ts'
import { hasCode } from '../lib/errors.ts'

const ROOT = '_indexes/'

/** Folders outside `_indexes/` in which an index has a folder of its name, by their owners. */
const SIDE_FOLDERS = [
  '_hnsw_promotions',
  '_hnsw_trials',
  '_hnsw_decisions',
  '_hnsw_agent',
  '_hnsw_agent_state',
  '_hnsw_graphs',
]

/** Of the folder of an index: what belongs to the bucket that it lies in and not to the index. */
const BOUND_TO_BUCKET = ['meta/', 'owner/', 'log/', 'checkpoints/']

export function indexFolder(index: string): string {
  return `${ROOT}${index}/`
}

/** What the keys of all objects of an index begin with. Eval sets have names of their own. */
export function ownPrefixes(index: string): string[] {
  const others = SIDE_FOLDERS.map((folder) => `${folder}/${index}/`)
  // Beside its folder the promotions have a copy for people.
  return [indexFolder(index), ...others, `_hnsw_promotions/${index}.json`]
}

/**
 * The names of all indexes that have objects in the bucket: two requests a name, however many
 * objects each has.
 */
export async function indexNames(store: ObjectStore): Promise<string[]> {
  const names: string[] = []
  let startAfter = ROOT
  for (;;) {
    const key = await firstKey(store, startAfter)
    if (key === null) return names
    const name = key.slice(ROOT.length, key.indexOf('/', ROOT.length))
    names.push(name)
    // Every folder of an index starts with a letter, which sorts before the tilde.
    startAfter = `${indexFolder(name)}~`
  }
}

/** Deletes everything of an index but its meta document, which is what says that it is deleted. */
export async function deleteIndexObjects(store: ObjectStore, index: string): Promise<number> {
  let deleted = 0
  for await (const { key } of store.list(indexFolder(index))) {
    if (key.startsWith(`${indexFolder(index)}meta/`)) continue
    await store.delete(key)
    deleted += 1
  }
  return deleted
}

/**
 * What goes with an index to another bucket, but its checkpoint, its log, and eval sets, which have
 * names of their own.
 */
export async function* homeObjects(store: ObjectStore, index: string): AsyncGenerator<ObjectInfo> {
  const folder = indexFolder(index)
  for await (const object of store.list(folder)) {
    const path = object.key.slice(folder.length)
    if (!BOUND_TO_BUCKET.some((bound) => path.startsWith(bound))) yield object
  }
  yield* sideObjects(store, index)
}

/**
 * Every object of an index in a bucket that is not its home, but the meta document, which says that
 * they are to be deleted. What a crash left is found by the next call.
 *
 * @param others keys outside of the folders of the index: its eval sets.
 */
export async function* copyObjects(
  store: ObjectStore,
  index: string,
  others: readonly string[],
): AsyncGenerator<ObjectInfo> {
  const folder = indexFolder(index)
  for await (const object of store.list(folder)) {
    if (!object.key.startsWith(`${folder}meta/`)) yield object
  }
  yield* sideObjects(store, index)
  for (const key of others) {
    const info = await infoOf(store, key)
    if (info !== null) yield info
  }
}

/** Null where there is no such object. */
export async function infoOf(store: ObjectStore, key: string): Promise<ObjectInfo | null> {
  try {
    return await store.head(key)
  } catch (error) {
    if (hasCode(error, 'object_not_found')) return null
    throw error
  }
}

async function* sideObjects(store: ObjectStore, index: string): AsyncGenerator<ObjectInfo> {
  for (const folder of SIDE_FOLDERS) yield* store.list(`${folder}/${index}/`)
  // The promotions have a copy for people beside their folder.
  const copy = `_hnsw_promotions/${index}.json`
  for await (const object of store.list(copy)) if (object.key === copy) yield object
}

async function firstKey(store: ObjectStore, startAfter: string): Promise<string | null> {
  for await (const { key } of store.list(ROOT, { startAfter })) return key
  return null
}
