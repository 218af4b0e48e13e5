/**
 * Profiles in the primary bucket:
 *
 *     _profiles/{id}/{revision}.json    compare and swap; a removal is a revision too
 *
 * What was read is kept for a few seconds, since each search in the scope of a profile asks for it: what
 * another server changed is seen after that. What cannot be read is an error, never an older scope.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
import { RevisionedDocument, type Revision } from '../buckets/revisioned-document.ts'
import { NAME_PATTERN } from '../domain/names.ts'
import { VectordError } from '../lib/errors.ts'
import { profileFromJson, profileToJson, type Profile } from './profile.ts'

const FOLDER = '_profiles/'
const KEY = new RegExp(`^${FOLDER}(${NAME_PATTERN.slice(1, -1)})/\\d{10}\\.json$`)
/** Revisions of a profile that stay: who changed what. */
const REVISIONS_KEPT = 20
/** Each is read anew when they are listed. */
export const PROFILES_MAX = 200
/** Age up to which a profile is taken from memory: the pace at which other control state is seen. */
const FRESH_MS = 5000

export interface ProfileStoreOptions {
  /** The primary bucket. */
  readonly store: () => ObjectStore
  readonly nowMs: () => number
}

export interface ProfileAuthor {
  readonly by: string
  /** The revision that was seen; null takes any. */
  readonly ifRevision: number | null
}

/** A profile that is there and cannot be read. */
export interface ProfileFault {
  readonly id: string
  readonly error: VectordError
}

interface Kept {
  readonly found: Revision<Profile>
  readonly readMs: number
}

export class ProfileStore {
  readonly #options: ProfileStoreOptions
  /** Only of profiles that are there, so at most `PROFILES_MAX` and what other servers add. */
  readonly #kept = new Map<string, Kept>()

  constructor(options: ProfileStoreOptions) {
    this.#options = options
  }

  /** @throws {VectordError} `profile_not_found`, and every error of the bucket. */
  async get(id: string): Promise<Revision<Profile>> {
    const found = await this.#document(id).read()
    return this.#keep(id, found)
  }

  /** As `get`, at most some seconds old. */
  async recent(id: string): Promise<Revision<Profile>> {
    const kept = this.#kept.get(id)
    const ageMs = this.#options.nowMs() - (kept?.readMs ?? 0)
    // A clock that went back says nothing about the age.
    return kept !== undefined && ageMs >= 0 && ageMs < FRESH_MS ? kept.found : this.get(id)
  }

  /** By id; those that cannot be read are told, and hide no others. */
  async list(): Promise<{
    readonly profiles: readonly Revision<Profile>[]
    readonly faults: readonly ProfileFault[]
  }> {
    const profiles: Revision<Profile>[] = []
    const faults: ProfileFault[] = []
    for (const id of await this.#ids()) {
      try {
        const found = await this.#document(id).read()
        if (found !== null) profiles.push(found)
      } catch (error) {
        if (!(error instanceof VectordError)) throw error
        faults.push({ id, error })
      }
    }
    return { profiles, faults }
  }

  /**
   * Makes or replaces a profile. Durable once resolved.
   *
   * @throws {VectordError} `revision_mismatch`, `limit_exceeded`, and every error of the bucket.
   */
  async put(
    document: Profile,
    { by: author, ifRevision }: ProfileAuthor,
  ): Promise<{ readonly stored: Revision<Profile>; readonly isNew: boolean }> {
    const { id } = document
    const revisions = this.#document(id)
    if ((await revisions.read()) === null) await this.#checkRoom()
    let isNew = false
    const stored = await revisions.modify((current) => {
      checkRevision(id, ifRevision, current?.revision ?? 0)
      isNew = current === null
      return { document, author, reason: isNew ? 'made' : 'changed' }
    })
    return { stored: this.#keep(id, stored), isNew }
  }

  /** @throws {VectordError} `profile_not_found`, `revision_mismatch`; as `put`. */
  async remove(id: string, { by: author, ifRevision }: ProfileAuthor): Promise<void> {
    const { revision } = await this.get(id)
    checkRevision(id, ifRevision, revision)
    await this.#document(id).remove(revision, { author, reason: 'removed' })
    this.#kept.delete(id)
  }

  #keep(id: string, found: Revision<Profile> | null): Revision<Profile> {
    if (found === null) {
      this.#kept.delete(id)
      throw new VectordError('profile_not_found', `There is no profile "${id}".`, {
        details: { profile: id },
      })
    }
    const kept = this.#kept.get(id)
    // Reads that overlap end in any order; a revision never goes back.
    if (kept !== undefined && kept.found.revision > found.revision) return kept.found
    this.#kept.set(id, { found, readMs: this.#options.nowMs() })
    return found
  }

  async #checkRoom(): Promise<void> {
    const { profiles, faults } = await this.list()
    if (profiles.length + faults.length < PROFILES_MAX) return
    throw new VectordError('limit_exceeded', `There are ${PROFILES_MAX} profiles already.`, {
      details: { limit: 'profiles', max: PROFILES_MAX },
    })
  }

  async #ids(): Promise<readonly string[]> {
    const ids = new Set<string>()
    for await (const { key } of this.#options.store().list(FOLDER)) {
      const id = KEY.exec(key)?.[1]
      if (id !== undefined) ids.add(id)
    }
    return [...ids].sort()
  }

  #document(id: string): RevisionedDocument<Profile> {
    return new RevisionedDocument<Profile>({
      store: this.#options.store(),
      prefix: `${FOLDER}${id}/`,
      name: `the profile "${id}"`,
      codec: { toJson: profileToJson, fromJson: (json) => profileFromJson(id, json) },
      keep: REVISIONS_KEPT,
      nowMs: this.#options.nowMs,
    })
  }
}

function checkRevision(id: string, expected: number | null, found: number): void {
  if (expected === null || expected === found) return
  throw new VectordError('revision_mismatch', `The profile "${id}" is at revision ${found}.`, {
    details: { profile: id, revision: found },
  })
}
