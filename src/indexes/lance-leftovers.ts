/**
 * Objects of Lance tables whose index is gone: writes that were under way when it was deleted.
 *
 * Deleted is a table without a meta document, none of whose objects is young: a table comes after its
 * meta, and what is young may be of an index that was made a moment ago.
 */

import type { ObjectInfo, ObjectStore } from '../buckets/object-store.ts'
import { NAME_PATTERN } from '../domain/names.ts'
import { metaDocument } from './index-meta.ts'
import { tableFolder, TABLES } from './open-lance.ts'

const NAME = new RegExp(NAME_PATTERN)
/** No write takes so long. */
const YOUNG_MS = 3600 * 1000

/** @returns how many objects were deleted. @throws as the bucket. */
export async function sweepTables(store: ObjectStore, nowMs: number): Promise<number> {
  let deleted = 0
  for (const index of await tableNames(store)) {
    if ((await metaDocument(store, index).read()) !== null) continue
    const objects: ObjectInfo[] = []
    for await (const object of store.list(tableFolder(index))) objects.push(object)
    if (objects.some(({ modifiedMs }) => nowMs - modifiedMs < YOUNG_MS)) continue
    deleted += await deleteWhileGone(store, index, objects)
  }
  return deleted
}

/** The files of a new table may have the names of those of the old one: it is looked for before each. */
async function deleteWhileGone(
  store: ObjectStore,
  index: string,
  objects: readonly ObjectInfo[],
): Promise<number> {
  let deleted = 0
  for (const { key } of objects) {
    if ((await metaDocument(store, index).read()) !== null) break
    await store.delete(key)
    deleted += 1
  }
  return deleted
}

/** Names of tables that have objects: two requests a name, however many objects each has. */
async function tableNames(store: ObjectStore): Promise<string[]> {
  const names: string[] = []
  let startAfter: string = TABLES
  for (;;) {
    const key = await firstKey(store, startAfter)
    if (key === null) return names
    const folder = key.slice(TABLES.length).split('/')[0] ?? ''
    const name = folder.replace(/\.lance$/, '')
    if (name !== folder && NAME.test(name)) names.push(name)
    // Everything within a folder sorts before its name with the byte after the slash.
    startAfter = `${TABLES}${folder}0`
  }
}

async function firstKey(store: ObjectStore, startAfter: string): Promise<string | null> {
  for await (const { key } of store.list(TABLES, { startAfter })) return key
  return null
}
