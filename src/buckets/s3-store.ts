/**
 * A bucket on an S3 server: the object `a/b` is the S3 object `{prefix}a/b`. The one file that
 * imports the AWS SDK.
 *
 * Every object carries the CRC32 of its bytes as metadata, and every read checks length and CRC32
 * against what arrived, so a truncated or flipped body is an error whatever the server and the way
 * to it do. Objects of other writers, without that metadata, are checked as far as S3 says something.
 */

import { createReadStream } from 'node:fs'
import { unlink } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { crc32 } from 'node:zlib'
import {
  DeleteObjectCommand,
  GetObjectCommand,
  type GetObjectCommandOutput,
  HeadObjectCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput as ListPage,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import { hasCode, VectordError } from '../lib/errors.ts'
import { hasErrno } from './errno.ts'
import { localFault } from './local-files.ts'
import { checkKey, checkPrefix, compareKeys, isKey } from './object-key.ts'
import type { ListOptions, ObjectInfo, ObjectStore } from './object-store.ts'
import { checkedBody, checksumMetadata, isSameObject } from './s3-body.ts'
import {
  s3Failure,
  s3Fault,
  saysConflict,
  saysNoSuchKey,
  saysPreconditionFailed,
} from './s3-errors.ts'
import { fill, measure, openNew, type Measured } from './s3-file.ts'
import { checkS3Spec, type S3Spec } from './s3-spec.ts'

export interface S3Limits {
  readonly connectTimeoutMs: number
  /** Until the first byte of the answer, and between two bytes of a body. */
  readonly requestTimeoutMs: number
  /** Of one request, the first included; the SDK waits between them, longer each time. */
  readonly attempts: number
  /** Bodies over this go in parts of at least this, four at a time. At least 5 MiB. */
  readonly partBytes: number
}

const MIB = 1024 * 1024

export const S3_LIMITS: S3Limits = {
  connectTimeoutMs: 2_000,
  requestTimeoutMs: 15_000,
  attempts: 3,
  partBytes: 8 * MIB,
}

/** S3 takes at most this many parts of one object. */
const PARTS_MAX = 10_000

const PARTS_AT_ONCE = 4

const SOCKETS_MAX = 64

/** A body that broke off or does not match its checksum is fetched again this often. */
const BODY_ATTEMPTS = 3

const CONFLICT_ATTEMPTS = 6
const CONFLICT_WAIT_MS = 50

/** A server that goes on answering empty pages is not asked for more than these. */
const EMPTY_PAGES_MAX = 1_000

export class S3Store implements ObjectStore {
  readonly #client: S3Client
  readonly #bucket: string
  readonly #prefix: string
  readonly #limits: S3Limits
  #closed = false

  /** Makes no request. @throws {VectordError} `bad_request` for an odd bucket, prefix, endpoint. */
  constructor(spec: S3Spec, limits: S3Limits = S3_LIMITS) {
    checkS3Spec(spec)
    this.#bucket = spec.bucket
    this.#prefix = spec.prefix
    this.#limits = limits
    this.#client = new S3Client({
      region: spec.region,
      forcePathStyle: true,
      maxAttempts: limits.attempts,
      retryMode: 'standard',
      expectContinueHeader: false,
      requestHandler: new NodeHttpHandler({
        connectionTimeout: limits.connectTimeoutMs,
        requestTimeout: limits.requestTimeoutMs,
        socketTimeout: limits.requestTimeoutMs,
        throwOnRequestTimeout: true,
        httpAgent: { keepAlive: true, maxSockets: SOCKETS_MAX },
        httpsAgent: { keepAlive: true, maxSockets: SOCKETS_MAX },
      }),
      ...(spec.endpoint !== null && { endpoint: spec.endpoint }),
      ...(spec.credentials !== null && { credentials: { ...spec.credentials } }),
    })
  }

  async get(key: string): Promise<Uint8Array> {
    return this.#download(key, async (chunks) => {
      const parts: Uint8Array[] = []
      for await (const chunk of chunks) parts.push(chunk)
      return Buffer.concat(parts)
    })
  }

  async head(key: string): Promise<ObjectInfo> {
    const where = this.#where(key)
    try {
      const answer = await this.#client.send(new HeadObjectCommand(where))
      return infoOf({ key, bytes: answer.ContentLength, modified: answer.LastModified })
    } catch (error) {
      if (s3Failure(error).status !== 404) throw s3Fault(error, 'find', key)
      // A HEAD has no body to say what is absent, the object or the bucket; a GET has.
      const answer = await this.#request(key)
      if (answer.Body instanceof Object && 'destroy' in answer.Body) answer.Body.destroy()
      return infoOf({ key, bytes: answer.ContentLength, modified: answer.LastModified })
    }
  }

  async put(key: string, body: Uint8Array): Promise<void> {
    const object = { bytes: body.byteLength, checksum: crc32(body) }
    if (object.bytes > this.#limits.partBytes) return this.#upload(key, body, object)
    const Metadata = checksumMetadata(object.checksum)
    const request = { ...this.#where(key), Body: body, Metadata }
    try {
      await this.#client.send(new PutObjectCommand(request))
    } catch (error) {
      throw s3Fault(error, 'write', key)
    }
  }

  async putIfAbsent(key: string, body: Uint8Array): Promise<void> {
    const object = { ...this.#where(key), Body: body, Metadata: checksumMetadata(crc32(body)) }
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#client.send(new PutObjectCommand({ ...object, IfNoneMatch: '*' }))
        return
      } catch (error) {
        const failure = s3Failure(error)
        if (saysPreconditionFailed(failure)) throw existing(key)
        if (!saysConflict(failure)) throw s3Fault(error, 'write', key)
        if (attempt === CONFLICT_ATTEMPTS) throw await this.#conflict(key)
        await sleep(CONFLICT_WAIT_MS * attempt * (0.5 + Math.random()))
      }
    }
  }

  async putFile(key: string, path: string): Promise<void> {
    this.#where(key)
    const object = await measure(path).catch((error: unknown) => {
      throw localFault(error, 'read the file for', key)
    })
    const body = createReadStream(path, { highWaterMark: MIB })
    try {
      await this.#upload(key, body, object)
    } finally {
      body.destroy()
    }
  }

  async getFile(key: string, path: string): Promise<void> {
    // Opened before anything is fetched: a stream that fails early would make its file later.
    const file = await openNew(path, key)
    try {
      await this.#download(key, (chunks) => fill(file, chunks, key))
      await file.close()
    } catch (error) {
      await file.close()
      await unlink(path).catch(ignoreAbsent)
      throw error
    }
  }

  async delete(key: string): Promise<void> {
    const where = this.#where(key)
    try {
      await this.#client.send(new DeleteObjectCommand(where))
    } catch (error) {
      if (!saysNoSuchKey(s3Failure(error))) throw s3Fault(error, 'delete', key)
    }
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<ObjectInfo> {
    this.#checkOpen()
    checkPrefix(prefix)
    let last = options.startAfter ?? ''
    for await (const page of this.#pages(prefix, options.startAfter)) {
      for (const object of page.Contents ?? []) {
        const full = decodeKey(object.Key)
        const key = full.slice(this.#prefix.length)
        if (key === options.startAfter) continue // Some servers start with it.
        const isNext = full.startsWith(this.#prefix + prefix) && compareKeys(key, last) > 0
        if (!isNext) throw badList(prefix, 'out of order')
        last = key
        if (isKey(key)) yield infoOf({ key, bytes: object.Size, modified: object.LastModified })
      }
    }
  }

  close(): Promise<void> {
    if (!this.#closed) this.#client.destroy()
    this.#closed = true
    return Promise.resolve()
  }

  /** Fetches an object and has `consume` read it, again from its start where the body is bad. */
  async #download<T>(
    key: string,
    consume: (chunks: AsyncIterable<Uint8Array>) => Promise<T>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      const answer = await this.#request(key)
      try {
        return await consume(checkedBody(key, answer))
      } catch (error) {
        const isBody = hasCode(error, 'bucket_unreachable', 'object_corrupt')
        if (!isBody || attempt === BODY_ATTEMPTS) throw error
      }
    }
  }

  async #request(key: string): Promise<GetObjectCommandOutput> {
    const where = this.#where(key)
    try {
      const answer = await this.#client.send(new GetObjectCommand(where))
      // A connection may break before the body is read: that is told to who reads, and ends nothing.
      if (answer.Body instanceof Readable) answer.Body.on('error', () => undefined)
      return answer
    } catch (error) {
      if (!saysNoSuchKey(s3Failure(error))) throw s3Fault(error, 'read', key)
      throw absent(key)
    }
  }

  async #upload(key: string, body: Uint8Array | Readable, object: Measured): Promise<void> {
    const partSize = Math.max(this.#limits.partBytes, Math.ceil(object.bytes / PARTS_MAX))
    const Metadata = checksumMetadata(object.checksum)
    const params = { ...this.#where(key), Body: body, Metadata }
    try {
      await new Upload({ client: this.#client, params, partSize, queueSize: PARTS_AT_ONCE }).done()
    } catch (error) {
      // Where the answer to the last step was lost, its repetition finds the upload gone.
      const isGone = s3Failure(error).name === 'NoSuchUpload'
      if (!isGone || !(await this.#holds(key, object))) throw s3Fault(error, 'write', key)
    }
  }

  async #holds(key: string, object: Measured): Promise<boolean> {
    try {
      const answer = await this.#client.send(new HeadObjectCommand(this.#where(key)))
      return isSameObject(answer, object.bytes, object.checksum)
    } catch {
      return false // The failure of the upload is the one to report.
    }
  }

  async #conflict(key: string): Promise<VectordError> {
    try {
      await this.head(key)
      return existing(key)
    } catch (error) {
      if (!hasCode(error, 'object_not_found')) return s3Fault(error, 'write', key)
      const message = `Other writers kept the S3 bucket from writing "${key}".`
      return new VectordError('bucket_unreachable', message, { details: { key } })
    }
  }

  async *#pages(prefix: string, after: string | undefined): AsyncGenerator<ListPage> {
    let token: string | undefined
    let emptyPages = 0
    do {
      const page = await this.#page(prefix, { after, token })
      yield page
      if (page.IsTruncated !== true) return
      token = page.NextContinuationToken
      emptyPages = (page.Contents?.length ?? 0) === 0 ? emptyPages + 1 : 0
    } while (token !== undefined && emptyPages <= EMPTY_PAGES_MAX)
    throw badList(prefix, 'without an end')
  }

  async #page(
    prefix: string,
    from: { readonly after: string | undefined; readonly token: string | undefined },
  ): Promise<ListPage> {
    const request = new ListObjectsV2Command({
      Bucket: this.#bucket,
      Prefix: this.#prefix + prefix,
      EncodingType: 'url',
      StartAfter: from.after === undefined ? undefined : this.#prefix + from.after,
      ContinuationToken: from.token,
    })
    try {
      return await this.#client.send(request)
    } catch (error) {
      throw s3Fault(error, 'list', prefix)
    }
  }

  #where(key: string): { readonly Bucket: string; readonly Key: string } {
    this.#checkOpen()
    return { Bucket: this.#bucket, Key: this.#prefix + checkKey(key) }
  }

  #checkOpen(): void {
    if (this.#closed) throw new VectordError('storage_error', 'The S3 bucket is closed.')
  }
}

function decodeKey(encoded: string | undefined): string {
  try {
    return decodeURIComponent((encoded ?? '').replaceAll('+', '%20'))
  } catch {
    throw new VectordError('storage_error', 'The S3 bucket listed a key that is not URL-encoded.')
  }
}

function infoOf(found: {
  readonly key: string
  readonly bytes: number | undefined
  readonly modified: Date | undefined
}): ObjectInfo {
  if (found.bytes === undefined || found.modified === undefined) {
    const message = `The S3 bucket did not say size and time of "${found.key}".`
    throw new VectordError('storage_error', message, { details: { key: found.key } })
  }
  return { key: found.key, bytes: found.bytes, modifiedMs: found.modified.getTime() }
}

function badList(prefix: string, how: string): VectordError {
  const message = `The S3 bucket listed "${prefix}" ${how}.`
  return new VectordError('storage_error', message, { details: { prefix } })
}

function absent(key: string): VectordError {
  return new VectordError('object_not_found', `There is no object "${key}".`, { details: { key } })
}

function existing(key: string): VectordError {
  return new VectordError('object_exists', `The object "${key}" exists already.`, {
    details: { key },
  })
}

function ignoreAbsent(error: unknown): void {
  if (!hasErrno(error, 'ENOENT')) throw error
}
