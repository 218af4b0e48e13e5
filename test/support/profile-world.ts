/** Profiles over a bucket in memory, indexes in memory and a fake model server. */

import { MemoryStore, type MemoryObject } from '../../src/buckets/memory-store.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { HNSW_DEFAULTS } from '../../src/domain/hnsw-config.ts'
import { VectordError } from '../../src/lib/errors.ts'
import type { ModelMemory } from '../../src/profiles/model-memory.ts'
import type { Profile } from '../../src/profiles/profile.ts'
import { Profiles } from '../../src/profiles/profiles.ts'
import { FakeModels } from './fake-models.ts'
import { MemoryIndexes } from './memory-indexes.ts'

export interface ProfileWorld {
  readonly profiles: Profiles
  readonly models: FakeModels
  readonly indexes: MemoryIndexes
  /** Of the primary bucket. */
  readonly objects: Map<string, MemoryObject>
  /** Folders of the buckets that were provisioned, by name. */
  readonly added: Map<string, string>
  readonly troubles: string[]
  readonly clock: { nowMs: number }
}

export interface ProfileWorldOptions {
  /** Another server, or this one after a restart. */
  readonly beside?: ProfileWorld
  readonly models?: ModelMemory | null
  readonly store?: (inner: ObjectStore) => ObjectStore
  readonly indexes?: MemoryIndexes
}

export function profileWorld(options: ProfileWorldOptions = {}): ProfileWorld {
  const shared = { ...newShare(), ...options.beside }
  const { objects, models: fake, clock, added } = shared
  const indexes = options.indexes ?? shared.indexes
  const troubles: string[] = []
  const inner = new MemoryStore(objects, () => clock.nowMs)
  const primary = options.store?.(inner) ?? inner
  const profiles = new Profiles({
    ...{ indexes, models: options.models === undefined ? fake : options.models },
    buckets: {
      get: () => primary,
      list: () => [{ name: 'primary' }, ...[...added.keys()].map((name) => ({ name }))],
      add: async ({ name, root }) => {
        if (added.has(name)) throw new VectordError('bucket_exists', 'It is there.')
        added.set(name, root)
      },
    },
    ...{ profileRoot: '/srv/profiles', warmDeadlineMs: 1000 },
    nowMs: () => clock.nowMs,
    onTrouble: (_error, what) => troubles.push(what),
  })
  return { profiles, models: fake, indexes, objects, added, troubles, clock }
}

/** What servers beside each other have in common. */
function newShare(): Omit<ProfileWorld, 'profiles' | 'troubles'> {
  return {
    objects: new Map<string, MemoryObject>(),
    models: new FakeModels(),
    indexes: new MemoryIndexes(),
    added: new Map<string, string>(),
    clock: { nowMs: 1_700_000_000_000 },
  }
}

export function profileOf(id: string, rest: Partial<Profile> = {}): Profile {
  return {
    ...{ id, model: `model-${id}`, description: '', boundIndexes: [], hnsw: null },
    ...{ embedModel: null, bucket: null, backend: 'hnsw' },
    ...rest,
  }
}

export const ANY = { by: 'tester', ifRevision: null }

/** Stores profiles with the defaults of `profileOf`. */
export async function store(
  { profiles }: ProfileWorld,
  ...wanted: readonly Profile[]
): Promise<void> {
  for (const profile of wanted) await profiles.store.put(profile, ANY)
}

export async function makeIndex({ indexes }: ProfileWorld, name: string): Promise<void> {
  await indexes.create({
    ...{ name, dimension: 2, metric: 'l2', bucket: 'primary', hnsw: HNSW_DEFAULTS, shards: 1 },
    ...{ keepLastVersions: 1, createdBy: 'tester' },
  })
}

export function down(): VectordError {
  return new VectordError('model_server_unavailable', 'It does not answer.')
}

export function unknownModel(): VectordError {
  return new VectordError('model_not_found', 'No such model.')
}
