/**
 * Points of kill loops: each has a vector that tells its id and version, so that a stale one shows.
 */

import assert from 'node:assert/strict'
import type { Version } from './ledger.ts'
import type { Service } from './service.ts'

export const KILL_DIMENSION = 8

/** The first result of a search for each point's own vector. */
export async function firstFound(
  service: Service,
  index: string,
  points: readonly (readonly [id: string, version: Version])[],
  how: { readonly exact?: true; readonly ef?: number },
): Promise<(string | undefined)[]> {
  const queries = points.map(([id, version]) => ({ vector: vectorOf(id, version), k: 1, ...how }))
  const path = `/vectors/indexes/${index}/search/batch`
  const reply = await service.request('POST', path, { queries })
  assert.equal(reply.status, 200, reply.text)
  const { answers } = reply.body as { answers: { results: { id: string }[] }[] }
  return answers.map(({ results }) => results[0]?.id)
}

/** Each point of the index once, with the version in its metadata. */
export async function scrollAll(service: Service, index: string): Promise<Map<string, Version>> {
  const found = new Map<string, Version>()
  let cursor: string | null = ''
  while (cursor !== null) {
    const query: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`
    const reply = await service.request('GET', `/vectors/indexes/${index}/points?limit=500${query}`)
    assert.equal(reply.status, 200, reply.text)
    const page = reply.body as {
      points: { id: string; metadata: { version: number } }[]
      next_cursor: string | null
    }
    for (const point of page.points) {
      assert.ok(!found.has(point.id), `duplicate ${point.id}`)
      found.set(point.id, point.metadata.version)
    }
    cursor = page.next_cursor
  }
  return found
}

export function next(versions: Map<string, Version>, id: string): Version {
  const version = (versions.get(id) ?? 0) + 1
  versions.set(id, version)
  return version
}

/** A vector that no other (id, version) has. */
export function vectorOf(id: string, version: Version): number[] {
  let hash = 2166136261
  for (const char of `${id}/${version}`) {
    hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 16777619)
  }
  const random = mulberry32(hash)
  return Array.from({ length: KILL_DIMENSION }, () => Math.fround(random() * 2 - 1))
}

/** A small seeded generator (Tommy Ettinger's mulberry32). */
export function mulberry32(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
