/**
 * A row on its way into a point table.
 */

export interface NewPoint {
  readonly id: string
  readonly lsn: number
  readonly row: number
  /** The vector starts at `offset` of `vectors`. */
  readonly vectors: Float32Array
  readonly offset: number
  readonly text: string | null
  /** JSON text of an object, or null. */
  readonly metadata: string | null
  /** The lsn of the client's write, where that is another one. */
  readonly version?: number
  /** Which embedder made the vector; null where there is none yet. Left out, it is the client's. */
  readonly tag?: string | null
}
