/**
 * Which objects of a bucket belong to which index.
 *
 *     _indexes/{index}/meta/…  log/…  checkpoints/…  parts/…  graphs/…  owner/…
 */

import type { ObjectStore } from '../buckets/object-store.ts'

const ROOT = '_indexes/'

export function indexFolder(index: string): string {
  return `${ROOT}${index}/`
}

/** Folders outside `_indexes/` in which an index has a folder of its name, by their owners. */
const OTHER_FOLDERS = [
  '_hnsw_promotions',
  '_hnsw_trials',
  '_hnsw_decisions',
  '_hnsw_agent',
  '_hnsw_agent_state',
  '_hnsw_graphs',
]

/** What the keys of all objects of an index begin with. Eval sets have names of their own. */
export function ownPrefixes(index: string): string[] {
  const others = OTHER_FOLDERS.map((folder) => `${folder}/${index}/`)
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

async function firstKey(store: ObjectStore, startAfter: string): Promise<string | null> {
  for await (const { key } of store.list(ROOT, { startAfter })) return key
  return null
}
