/**
 * A point as the model keeps it, with what it needs of JSON.
 */

export type Scalar = string | number | boolean
export type Json = Scalar | null | readonly Json[] | JsonObject
export interface JsonObject {
  readonly [name: string]: Json
}

/** What a write says of a point. */
export interface WrittenPoint {
  readonly id: string
  /** float32 values: what a client can get back. */
  readonly vector: Float32Array
  readonly text: string | null
  readonly metadata: JsonObject | null
}

export interface ModelPoint extends WrittenPoint {
  /** The lsn of its write. */
  readonly version: number
  /** Its place in that write. */
  readonly row: number
}
