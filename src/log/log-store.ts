/**
 * The contract of a write-ahead log: one for each index, one writer, numbered records.
 *
 * Backends: `segment-log.ts` (files in a local bucket) and `object-log.ts` (one object a group in
 * an `ObjectStore`). Each passes `test/log/log-store.suite.ts`.
 *
 *     append(a) append(b) … ──▶ one group ──▶ one fdatasync, or one put-if-absent ──▶ lsn, lsn
 *
 * lsn are integers from 1, each used once; they grow, and may skip numbers after a failed append.
 * A log may be opened to begin after a given lsn: that of an index that came from another bucket.
 */

export interface LogRecord {
  readonly lsn: number
  readonly payload: Uint8Array
}

export interface LogStore {
  /** The lsn of the last durable record, or that which the log began after, 0 where there is none. */
  readonly lastLsn: number
  /** Bytes that the log holds now. */
  readonly bytes: number

  /**
   * Appends one record; durable once resolved. Records of calls that come while a group is being
   * written share the next group. Resolves in lsn order.
   *
   * What failed is not in the log afterwards, as far as the storage can still be told so: a record
   * whose append was rejected is either absent after a restart or, where the storage lost the
   * answer, present whole.
   *
   * @throws {VectordError} `storage_full`, `storage_error`, `bucket_unreachable`; `log_fenced` when
   *   another writer has taken over: every later append then fails the same way.
   */
  append(payload: Uint8Array): Promise<number>

  /**
   * The durable records after `afterLsn`, in order.
   *
   * @throws {VectordError} `log_corrupt` naming the file or object and the offset; also where
   *   records between `afterLsn` and the end are missing.
   */
  read(afterLsn: number): AsyncIterable<LogRecord>

  /**
   * Gives up the records up to and including `lsn`, by whole segments or groups.
   *
   * @param onDeleted is told the bytes of each that is gone.
   */
  truncate(lsn: number, onDeleted?: (bytes: number) => void): Promise<void>

  /**
   * The name, within the folder of the log, of the first segment or group that holds a record after
   * `lsn` or may come to; null where none is known.
   */
  startOf(lsn: number): Promise<string | null>

  /** Reads everything and checks it. @throws as `read`. */
  verify(): Promise<{ readonly records: number; readonly bytes: number }>

  /** Waits for the appends under way and releases files. Idempotent. */
  close(): Promise<void>
}
