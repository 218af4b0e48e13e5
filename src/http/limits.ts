/**
 * What one request may ask for. Every bound has a name, and an answer that names it.
 */

export interface HttpLimits {
  readonly bodyBytesMax: number
  /** Rows (points or ids) of one write. */
  readonly rowsMax: number
  readonly idBytesMax: number
  readonly kMax: number
  readonly dimensionMax: number
  /** Bytes of the metadata of one point, as JSON text in UTF-8. */
  readonly metadataBytesMax: number
  /** Queries of one `search/batch`. */
  readonly batchQueriesMax: number
  /** Points of one page of a scroll. */
  readonly pageMax: number
  /** Time that a search, and any other request, may take where it names none. */
  readonly searchDeadlineMs: number
  readonly requestDeadlineMs: number
  /** The most that a request may name. */
  readonly deadlineMaxMs: number
}

export const HTTP_LIMITS: HttpLimits = {
  bodyBytesMax: 32 * 1024 * 1024,
  rowsMax: 10_000,
  idBytesMax: 512,
  kMax: 1000,
  dimensionMax: 8192,
  metadataBytesMax: 40 * 1024,
  batchQueriesMax: 100,
  pageMax: 1000,
  searchDeadlineMs: 10_000,
  requestDeadlineMs: 30_000,
  deadlineMaxMs: 3_600_000,
}
