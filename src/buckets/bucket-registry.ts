/**
 * The buckets of this service, by name.
 *
 * `primary` and `rescue` come from the configuration and cannot be removed. Others are added at run
 * time and kept in a revisioned document in `primary`, so every server on that bucket knows them;
 * `refresh` takes over what another server added or removed. Only `primary` must be there at the
 * start: any other bucket fails alone. Writes never go to `rescue`; reads of objects fall back to it
 * where the home bucket fails, not where an object is absent.
 */

import type { BucketSpec } from '../domain/shard-spec.ts'
import { checkName } from '../domain/names.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'
import {
  type AddedBucket,
  type BucketLocation,
  bucketFromJson,
  bucketToJson,
  checkLocation,
  overlap,
} from './bucket-location.ts'
import { type ConditionalWrites, probeBucket } from './bucket-probe.ts'
import { type ConfiguredSource, CredentialsVault, type KeptSource } from './credentials.ts'
import type { ObjectInfo, ObjectStore } from './object-store.ts'
import { type BucketHealth, type BucketRole, type BucketView, OpenBucket } from './open-bucket.ts'
import { openStore } from './open-store.ts'
import type { Json } from './revision-codec.ts'
import { RevisionedDocument } from './revisioned-document.ts'
import { StorageErrors } from './storage-errors.ts'

const PREFIX = '_buckets/'
const PRIMARY = 'primary'
const RESCUE = 'rescue'

/** Revisions of the document that are kept. */
const REVISIONS_KEPT = 100

/** Buckets are few and each costs connections and health checks. */
const BUCKETS_MAX = 100

export type NewBucket = { readonly name: string } & BucketLocation

export interface BucketRegistryOptions {
  readonly primary: BucketLocation<ConfiguredSource>
  readonly rescue: BucketLocation<ConfiguredSource> | null
  /** A local folder; credentials that came within a request lie below it, mode 0600. */
  readonly storageRoot: string
  /** Names of the indexes that live in a bucket: while there are any it stays. */
  readonly indexesIn: (bucket: string) => readonly string[] | Promise<readonly string[]>
  readonly openStore?: (spec: BucketSpec) => Promise<ObjectStore>
  readonly nowMs?: () => number
}

export interface ListPage {
  readonly prefix: string
  readonly startAfter: string | null
  readonly limit: number
}

type Added = readonly AddedBucket[]

export class BucketRegistry {
  /** What failed in any of the buckets. */
  readonly errors: StorageErrors
  readonly #options: BucketRegistryOptions
  readonly #vault: CredentialsVault
  /** Of the primary bucket, for the document and the journal. */
  readonly #store: ObjectStore
  readonly #document: RevisionedDocument<Added>
  readonly #turns = new KeyedMutex()
  readonly #buckets = new Map<string, OpenBucket>()
  readonly #leaving = new Set<string>()
  #revision = 0
  #checking: Promise<readonly BucketHealth[]> | null = null

  private constructor(options: BucketRegistryOptions, vault: CredentialsVault, store: ObjectStore) {
    this.#options = options
    this.#vault = vault
    this.#store = store
    this.errors = new StorageErrors(store, options.nowMs)
    this.#document = new RevisionedDocument({
      store,
      prefix: PREFIX,
      name: 'the buckets',
      keep: REVISIONS_KEPT,
      codec: { toJson: (added) => ({ buckets: added.map(bucketToJson) }), fromJson: toAdded },
      ...(options.nowMs !== undefined && { nowMs: options.nowMs }),
    })
  }

  /** @throws {VectordError} where `primary` cannot be opened, probed and read. */
  static async open(options: BucketRegistryOptions): Promise<BucketRegistry> {
    const vault = new CredentialsVault(options.storageRoot)
    checkLocation(options.primary)
    // The journal of failures writes through a store of its own: it does not record itself.
    const store = await (options.openStore ?? openStore)(await specOf(vault, options.primary))
    const registry = new BucketRegistry(options, vault, store)
    try {
      await registry.#openConfigured()
      await registry.refresh()
      return registry
    } catch (error) {
      await registry.close()
      throw error
    }
  }

  /** @throws {VectordError} `bucket_not_found`, `bucket_unreachable` where it cannot be opened. */
  get(name: string): ObjectStore {
    return this.#find(name).store
  }

  /** What a core needs to open the bucket itself; holds secrets. @throws as `get`. */
  spec(name: string): BucketSpec {
    return this.#find(name).spec
  }

  /** `primary`, `rescue`, then the others by name. */
  list(): readonly BucketView[] {
    return this.#names().map((name) => this.#find(name).view)
  }

  /**
   * Probes a bucket and registers it, durably.
   *
   * @throws {VectordError} `invalid_name`, `bad_request`, `bucket_exists` for a name or a place that
   *   is taken, `limit_exceeded`, and what the probe met: then nothing was registered.
   */
  add(bucket: NewBucket, by: string): Promise<BucketView> {
    return this.#turns.run('', async () => {
      checkName('bucket', bucket.name)
      checkLocation(bucket)
      await this.#refresh()
      this.#checkFree(bucket)
      const { name } = bucket
      const location = await keepLocation(this.#vault, name, bucket)
      const conditionalWrites = await this.#probe(location)
      const added = { name, location, conditionalWrites }
      await this.#write((others) => [...others, checkNew(added, others)], by, `add ${name}`)
      await this.#find(name).check()
      return this.#find(name).view
    })
  }

  /**
   * Takes a bucket out of the registry, durably; deletes no object.
   *
   * @throws {VectordError} `bucket_not_found`, `bucket_protected`, `bucket_in_use`.
   */
  remove(name: string, by: string): Promise<void> {
    return this.#turns.run('', async () => {
      await this.#refresh()
      const bucket = this.#find(name)
      if (bucket.view.isProtected) {
        throw new VectordError('bucket_protected', `The bucket "${name}" cannot be removed.`)
      }
      this.#leaving.add(name) // From here on no index can be made in it.
      try {
        await this.#checkUnused(name)
        await this.#write(
          (added) => added.filter((other) => other.name !== name),
          by,
          `remove ${name}`,
        )
      } finally {
        this.#leaving.delete(name)
      }
      if (bucket.location.backend === 's3') await this.#vault.forget(bucket.location.credentials)
    })
  }

  /** Takes over what other servers added and removed. */
  refresh(): Promise<void> {
    return this.#turns.run('', () => this.#refresh())
  }

  /** Asks every bucket now, each with a time limit; calls at the same time share the answer. */
  health(): Promise<readonly BucketHealth[]> {
    this.#checking ??= Promise.all(this.#names().map((name) => this.#find(name).check())).finally(
      () => {
        this.#checking = null
      },
    )
    return this.#checking
  }

  async readObject(
    bucket: string,
    key: string,
  ): Promise<{ readonly body: Uint8Array; readonly rescueUsed: boolean }> {
    const { value, rescueUsed } = await this.#reading(bucket, (store) => store.get(key))
    return { body: value, rescueUsed }
  }

  async writeObject(bucket: string, key: string, body: Uint8Array): Promise<void> {
    await this.get(bucket).put(key, body)
  }

  async deleteObject(bucket: string, key: string): Promise<void> {
    await this.get(bucket).delete(key)
  }

  /** At most `limit` objects after `startAfter`, in byte order of their keys. */
  async listObjects(
    bucket: string,
    page: ListPage,
  ): Promise<{ readonly objects: readonly ObjectInfo[]; readonly rescueUsed: boolean }> {
    const { value, rescueUsed } = await this.#reading(bucket, (store) => listPage(store, page))
    return { objects: value, rescueUsed }
  }

  /** Writes the failures that wait, and closes every bucket. */
  async close(): Promise<void> {
    await this.errors.flush().catch(() => {
      // The bucket of the journal is down: what waited goes with the process.
    })
    const closing = [...this.#buckets.values()].map((bucket) => bucket.close())
    this.#buckets.clear()
    await Promise.all([...closing, this.#store.close()])
  }

  async #openConfigured(): Promise<void> {
    const { primary, rescue } = this.#options
    const bucket = this.#hold({ name: PRIMARY, location: primary, role: PRIMARY })
    await bucket.open()
    bucket.conditionalWrites = await probeBucket(bucket.store)
    if (rescue === null) return
    checkLocation(rescue)
    await openQuietly(this.#hold({ name: RESCUE, location: rescue, role: RESCUE }))
  }

  #hold(entry: {
    readonly name: string
    readonly location: BucketLocation<KeptSource>
    readonly role: BucketRole
  }): OpenBucket {
    const bucket = new OpenBucket({
      ...entry,
      conditionalWrites: 'single_writer',
      vault: this.#vault,
      openStore: this.#options.openStore ?? openStore,
      nowMs: this.#options.nowMs ?? Date.now,
      report: ({ operation, key, error }) => {
        const { code, message } = error
        this.errors.record({ bucket: entry.name, operation, key, code, message })
      },
    })
    this.#buckets.set(entry.name, bucket)
    return bucket
  }

  /** What was refused leaves no secrets; once it may be registered, they stay. */
  async #probe(location: BucketLocation<KeptSource>): Promise<ConditionalWrites> {
    try {
      const spec = await specOf(this.#vault, location)
      const store = await (this.#options.openStore ?? openStore)(spec)
      return await probeBucket(store).finally(() => store.close())
    } catch (error) {
      if (location.backend === 's3') await this.#vault.forget(location.credentials)
      throw error
    }
  }

  async #write(change: (added: Added) => Added, by: string, reason: string): Promise<void> {
    const { revision, document } = await this.#document.modify((current) => ({
      document: change(current?.document ?? []),
      author: by,
      reason,
    }))
    await this.#apply(revision, document)
  }

  async #refresh(): Promise<void> {
    const newer = await this.#document.readIfNewer(this.#revision)
    if (newer !== null) await this.#apply(newer.revision, newer.document)
  }

  async #apply(revision: number, added: Added): Promise<void> {
    const wanted = new Map(added.map((bucket) => [bucket.name, bucket]))
    for (const bucket of this.#buckets.values()) {
      const known = wanted.get(bucket.name)
      const isSame = JSON.stringify(known?.location) === JSON.stringify(bucket.location)
      if (bucket.view.isProtected || isSame) continue
      this.#buckets.delete(bucket.name)
      await bucket.close()
    }
    for (const { name, location, conditionalWrites } of added) {
      if (this.#buckets.has(name)) continue
      const bucket = this.#hold({ name, location, role: 'extra' })
      bucket.conditionalWrites = conditionalWrites
      await openQuietly(bucket)
    }
    this.#revision = revision
  }

  async #reading<T>(
    name: string,
    read: (store: ObjectStore) => Promise<T>,
  ): Promise<{ readonly value: T; readonly rescueUsed: boolean }> {
    const home = this.#find(name)
    try {
      return { value: await read(home.store), rescueUsed: false }
    } catch (error) {
      if (name === RESCUE || !this.#buckets.has(RESCUE)) throw error
      if (hasCode(error, 'object_not_found', 'bad_request')) throw error
      try {
        return { value: await read(this.#find(RESCUE).store), rescueUsed: true }
      } catch {
        throw error // That rescue does not have it says nothing about the home bucket.
      }
    }
  }

  #checkFree(bucket: NewBucket): void {
    const { name } = bucket
    if (this.#buckets.has(name) || name === PRIMARY || name === RESCUE) {
      throw new VectordError('bucket_exists', `There is a bucket "${name}" already.`)
    }
    for (const other of this.#buckets.values()) {
      if (!overlap(other.location, bucket)) continue
      const message = `The place of "${name}" is, or lies within, or holds that of "${other.name}".`
      throw new VectordError('bucket_exists', message, { details: { bucket: other.name } })
    }
    if (this.#buckets.size < BUCKETS_MAX) return
    throw new VectordError('limit_exceeded', `There are ${BUCKETS_MAX} buckets already.`)
  }

  async #checkUnused(name: string): Promise<void> {
    const indexes = await this.#options.indexesIn(name)
    if (indexes.length === 0) return
    const message = `The bucket "${name}" holds ${indexes.length} indexes: move or delete them first.`
    throw new VectordError('bucket_in_use', message, {
      details: { indexes: indexes.slice(0, 100) },
    })
  }

  #find(name: string): OpenBucket {
    const bucket = this.#buckets.get(name)
    if (bucket !== undefined && !this.#leaving.has(name)) return bucket
    throw new VectordError('bucket_not_found', `There is no bucket of that name.`, {
      details: { bucket: name, buckets: this.#names() },
    })
  }

  #names(): readonly string[] {
    const names = [...this.#buckets.keys()].filter((name) => !this.#leaving.has(name)).sort()
    const first = [PRIMARY, RESCUE].filter((name) => names.includes(name))
    return [...first, ...names.filter((name) => name !== PRIMARY && name !== RESCUE)]
  }
}

async function keepLocation(
  vault: CredentialsVault,
  name: string,
  location: BucketLocation,
): Promise<BucketLocation<KeptSource>> {
  checkLocation(location)
  if (location.backend === 'local') return { backend: 'local', root: location.root }
  const { backend, bucket, prefix, region, endpoint } = location
  const credentials = await vault.keep(name, location.credentials)
  return { backend, bucket, prefix, region, endpoint, credentials }
}

/** @throws {VectordError} `bucket_exists` where another server was quicker. */
function checkNew(added: AddedBucket, others: Added): AddedBucket {
  if (!others.some((other) => other.name === added.name)) return added
  throw new VectordError('bucket_exists', `There is a bucket "${added.name}" already.`)
}

async function specOf(
  vault: CredentialsVault,
  location: BucketLocation<KeptSource>,
): Promise<BucketSpec> {
  if (location.backend === 'local') return location
  return { ...location, credentials: await vault.resolve(location.credentials) }
}

/** A bucket that cannot be opened keeps the reason and answers with it. */
async function openQuietly(bucket: OpenBucket): Promise<void> {
  await bucket.open().catch((error: unknown) => {
    if (!(error instanceof VectordError)) throw error
  })
}

async function listPage(store: ObjectStore, page: ListPage): Promise<ObjectInfo[]> {
  const { prefix, startAfter, limit } = page
  const objects: ObjectInfo[] = []
  for await (const object of store.list(prefix, startAfter === null ? {} : { startAfter })) {
    objects.push(object)
    if (objects.length >= limit) break
  }
  return objects
}

function toAdded(json: Readonly<Record<string, Json>>, key: string): Added {
  const buckets = json['buckets']
  if (Array.isArray(buckets)) return buckets.map((bucket: Json) => bucketFromJson(bucket, key))
  throw new VectordError('object_corrupt', `The bucket document "${key}" holds no buckets.`)
}
