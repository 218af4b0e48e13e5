/**
 * Model profiles: what is kept of them, which one is active, and what may be searched in their scope.
 *
 *     activate ─▶ bucket ─▶ slot: old model out, new model in ─▶ warm up the bound indexes
 *
 * Steps of the slot, and the removal of a profile, run one at a time.
 */

import { join } from 'node:path'
import type { ObjectStore } from '../buckets/object-store.ts'
import type { Revision } from '../buckets/revisioned-document.ts'
import type { Indexes } from '../indexes/index-api.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'
import { GpuSlot, type Loading, noModelServer, type SlotView } from './gpu-slot.ts'
import type { ModelMemory } from './model-memory.ts'
import type { Profile } from './profile.ts'
import { type ProfileAuthor, ProfileStore } from './profile-store.ts'
import { warmUp, type WarmUp } from './warm-up.ts'

/** Activations and deactivations that may wait; each may take as long as a model takes to load. */
export const STEPS_WAITING_MAX = 16
const RETRY_AFTER_S = 5

/** What profiles need of the buckets. */
export interface ProfileBuckets {
  get(name: string): ObjectStore
  list(): readonly { readonly name: string }[]
  /** @throws {VectordError} `bucket_exists`, and what a probe meets. */
  add(
    bucket: { readonly name: string; readonly backend: 'local'; readonly root: string },
    by: string,
  ): Promise<unknown>
}

export interface ProfilesOptions {
  readonly buckets: ProfileBuckets
  readonly indexes: Pick<Indexes, 'get'>
  /** Null where no model server is configured. */
  readonly models: ModelMemory | null
  /** Absolute: folders of the buckets that activations provision. */
  readonly profileRoot: string
  /** Milliseconds for each search of a warm-up. */
  readonly warmDeadlineMs: number
  readonly nowMs: () => number
  readonly onTrouble: (error: unknown, what: string) => void
}

export interface Activation extends Loading, WarmUp {
  readonly profile: Profile
  /** Null where the profile names none. */
  readonly bucket: { readonly name: string; readonly provisioned: boolean } | null
}

export class Profiles {
  readonly store: ProfileStore
  readonly #options: ProfilesOptions
  readonly #slot: GpuSlot
  readonly #turns = new KeyedMutex()
  #waiting = 0

  constructor(options: ProfilesOptions) {
    const { buckets, models, nowMs, onTrouble } = options
    this.#options = options
    this.store = new ProfileStore({ store: () => buckets.get('primary'), nowMs })
    this.#slot = new GpuSlot({ store: buckets.get('primary'), models, nowMs, onTrouble })
  }

  /** @throws {VectordError} `not_configured` where there is none. */
  get models(): ModelMemory {
    const { models } = this.#options
    if (models === null) throw noModelServer()
    return models
  }

  active(): Promise<SlotView> {
    return this.#slot.view()
  }

  /**
   * Makes a profile the active one. Indexes that cannot be warmed up are told and change nothing else.
   *
   * @throws {VectordError} `profile_not_found`, what provisioning its bucket meets, and as `GpuSlot.load`.
   */
  async activate(id: string, by: string): Promise<Activation> {
    const { models: _ } = this
    const { nowMs, onTrouble, indexes, warmDeadlineMs: deadlineMs } = this.#options
    const { profile, ...done } = await this.#step(async () => {
      const found = await this.store.get(id)
      const bucket = await this.#provision(found.document.bucket, by)
      return { ...(await this.#slot.load(found, by)), bucket, profile: found.document }
    })
    const warm = await warmUp({ indexes, nowMs, deadlineMs, onTrouble }, profile)
    return { ...done, profile, ...warm }
  }

  /** @throws {VectordError} `profile_not_active`, and as `GpuSlot.clear`. */
  deactivate(id: string, by: string): Promise<Omit<Loading, 'preloaded'>> {
    return this.#step(() => this.#slot.clear(id, by))
  }

  /**
   * Removes a profile that does not hold the slot.
   *
   * @throws {VectordError} `profile_not_found`, `profile_active`, `revision_mismatch`.
   */
  remove(id: string, author: ProfileAuthor): Promise<void> {
    return this.#step(async () => {
      await this.store.get(id)
      if ((await this.#slot.stored()).profile === id) throw stillActive(id)
      await this.store.remove(id, author)
    })
  }

  /**
   * Checks that a search of `index` is within the scope of the profile.
   *
   * @param mayTouch of the caller: the answer names no other index.
   * @throws {VectordError} `profile_not_found`, `out_of_scope` with the list of those that are.
   */
  async checkScope(id: string, index: string, mayTouch: (name: string) => boolean): Promise<void> {
    const { document }: Revision<Profile> = await this.store.recent(id)
    if (document.boundIndexes.includes(index)) return
    const message = `The index "${index}" is not bound to the profile "${id}".`
    const allowed = document.boundIndexes.filter(mayTouch)
    throw new VectordError('out_of_scope', message, { details: { profile: id, index, allowed } })
  }

  async #step<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= STEPS_WAITING_MAX) {
      const message = `${STEPS_WAITING_MAX} changes of the GPU slot wait already.`
      throw new VectordError('overloaded', message, { retryAfterS: RETRY_AFTER_S })
    }
    this.#waiting += 1
    try {
      return await this.#turns.run('', work)
    } finally {
      this.#waiting -= 1
    }
  }

  async #provision(name: string | null, by: string): Promise<Activation['bucket']> {
    if (name === null) return null
    if (this.#isRegistered(name)) return { name, provisioned: false }
    const root = join(this.#options.profileRoot, name)
    try {
      await this.#options.buckets.add({ name, backend: 'local', root }, by)
    } catch (error) {
      // Another server was quicker; any other place that is taken is a failure.
      if (!hasCode(error, 'bucket_exists') || !this.#isRegistered(name)) throw error
      return { name, provisioned: false }
    }
    return { name, provisioned: true }
  }

  #isRegistered(name: string): boolean {
    return this.#options.buckets.list().some((bucket) => bucket.name === name)
  }
}

function stillActive(id: string): VectordError {
  const message = `The profile "${id}" holds the GPU slot: deactivate it first.`
  return new VectordError('profile_active', message, { details: { profile: id } })
}
