/**
 * T10 for an index: flipped bytes anywhere in what the bucket holds.
 *
 * How: the objects of an index with checkpoints, graphs and a log are copied, one bit of one of them
 * is flipped, and the index is opened. It either holds exactly what was acknowledged (the damaged
 * part was derived, or an older checkpoint and the log led there), or it is refused with a code that
 * names the damage. It never serves anything else.
 */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { hasCode } from '../../src/lib/errors.ts'
import { compareContent, openIndex, scenario } from '../support/index-scenario.ts'
import { Ledger } from '../support/ledger.ts'

const FLIPS = 500
const NAMED = ['log_corrupt', 'object_corrupt', 'format_too_new'] as const

interface Count {
  served: number
  refused: number
}

it(`of ${FLIPS} flipped bits each is repaired or refused by name, never served`, async (t) => {
  const scratch = await mkdtemp(join(tmpdir(), 'vectord-flip-'))
  t.after(() => rm(scratch, { recursive: true }))
  const ledger = new Ledger()
  const objects = await makeObjects(scratch, ledger)
  const keys = [...objects.keys()]
  const kinds = new Map<string, Count>()
  for (let flip = 0; flip < FLIPS; flip += 1) {
    // Every object in turn, at places spread by a number without a common factor.
    const key = keys[flip % keys.length] ?? ''
    const bit = (flip * 7919 * 31) % (8 * (objects.get(key)?.length ?? 1))
    const store = await withFlippedBit(objects, key, bit)
    const count = countOf(kinds, key)
    if (await isServed(store, { scratch, ledger, at: `bit ${bit} of ${key}` })) count.served += 1
    else count.refused += 1
  }
  t.diagnostic(JSON.stringify(Object.fromEntries(kinds)))
  assert.ok(countOf(kinds, '_indexes/docs/graphs/').served > 0, 'a damaged graph is rebuilt')
  assert.equal(countOf(kinds, '_indexes/docs/graphs/').refused, 0, 'it is no reason to refuse')
  assert.ok(countOf(kinds, '_indexes/docs/log/').refused > 0, 'a damaged log is refused')
  assert.ok(countOf(kinds, '_indexes/docs/checkpoints/').served > 0, 'an older one is gone on from')
})

async function makeObjects(scratch: string, ledger: Ledger): Promise<Map<string, Uint8Array>> {
  const intact = new MemoryStore()
  const { served, close } = await openIndex(intact, scratch)
  await scenario(served, ledger)
  await close()
  const objects = new Map<string, Uint8Array>()
  for await (const { key } of intact.list('')) objects.set(key, await intact.get(key))
  return objects
}

async function withFlippedBit(
  objects: ReadonlyMap<string, Uint8Array>,
  key: string,
  bit: number,
): Promise<MemoryStore> {
  const store = new MemoryStore()
  for (const [name, body] of objects) await store.put(name, body)
  const damaged = await store.get(key)
  damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  await store.put(key, damaged)
  return store
}

/** @returns false where it was refused by name. Serving anything wrong fails the test. */
async function isServed(
  store: MemoryStore,
  {
    scratch,
    ledger,
    at,
  }: { readonly scratch: string; readonly ledger: Ledger; readonly at: string },
): Promise<boolean> {
  try {
    const { served, close } = await openIndex(store, scratch)
    await compareContent(served, ledger, at)
    await close()
    return true
  } catch (error) {
    if (hasCode(error, ...NAMED)) return false
    throw new Error(at, { cause: error })
  }
}

function countOf(kinds: Map<string, Count>, key: string): Count {
  const kind = key.split('/')[2] ?? ''
  const count = kinds.get(kind) ?? { served: 0, refused: 0 }
  kinds.set(kind, count)
  return count
}
