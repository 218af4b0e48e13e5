/**
 * The one door to durable objects. A bucket is a named `ObjectStore`.
 *
 * Backends: `local-store.ts` (a folder), `s3-store.ts` (the only file that imports the AWS SDK) and
 * `memory-store.ts` (tests). Each passes the suite in `test/buckets/object-store.suite.ts`; a rule
 * that is written here and not tested there is not a rule.
 *
 * Keys are slash-separated paths of 1 to 512 bytes of UTF-8, without a leading or trailing slash,
 * an empty part, `.` or `..` as a part, a part of more than 255 bytes, a NUL or a backslash; others
 * throw `bad_request` (`object-key.ts`). No object may lie "within" another: where `a` is one, a
 * backend may refuse `a/b` with `bad_request`.
 *
 * Errors of every method: `bucket_unreachable` (timeouts, refused connections, 5xx after retries),
 * `storage_full` (no space), `storage_error` (anything else). Only `object_not_found` means absent.
 */

export interface ObjectInfo {
  readonly key: string
  readonly bytes: number
  /** Milliseconds since the Unix epoch. */
  readonly modifiedMs: number
}

export interface ListOptions {
  /** Only keys after this one, in byte order. */
  readonly startAfter?: string
}

export interface ObjectStore {
  /**
   * Reads one whole object: the bytes of the last completed put, never part of one.
   *
   * @throws {VectordError} `object_not_found` where no such object exists; `object_corrupt` where the
   *   backend can tell that these are not the bytes that were put.
   */
  get(key: string): Promise<Uint8Array>

  /** Size and time of an object. @throws {VectordError} `object_not_found`. */
  head(key: string): Promise<ObjectInfo>

  /**
   * Writes one whole object, replacing any other at `key`.
   *
   * Atomic and durable: once the promise resolves, every later `get` sees `body`, also after a
   * crash; before that a `get` sees the old object. The caller must not change `body` until then.
   */
  put(key: string, body: Uint8Array): Promise<void>

  /**
   * Writes an object only where none is at `key`: of racing writers one wins.
   *
   * Durable as `put`. After a lost answer the object may be there although this threw
   * `bucket_unreachable`, and a retry inside the SDK may answer `object_exists` for our own write:
   * callers put a nonce into the body and read it back.
   *
   * @throws {VectordError} `object_exists` where there is one; its bytes are untouched.
   */
  putIfAbsent(key: string, body: Uint8Array): Promise<void>

  /** Like `put`, with the bytes of a local file, streamed. The file is not changed or kept open. */
  putFile(key: string, path: string): Promise<void>

  /**
   * Writes the object to the local file `path`, which must not exist; streamed. A local backend may
   * hard-link: treat the file as read-only. On failure there is no file.
   *
   * @throws {VectordError} as `get`.
   */
  getFile(key: string, path: string): Promise<void>

  /** Removes an object, durably. Removing what is not there is not an error. */
  delete(key: string): Promise<void>

  /**
   * Objects whose key starts with `prefix`, in ascending byte order; consistent with past puts.
   * What another program left under a name that is no key is not listed.
   */
  list(prefix: string, options?: ListOptions): AsyncIterable<ObjectInfo>

  /** Ends open connections; later calls throw `storage_error`. Idempotent. */
  close(): Promise<void>
}
