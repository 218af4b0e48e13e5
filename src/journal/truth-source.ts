/**
 * What eval sets need of the rest of the service: exact truth, rows to ask about, live queries.
 */

/** Lets long work tell how far it is, and hear that it shall stop. */
export interface TruthControl {
  /** Work that stops because of it throws its reason. */
  readonly signal: AbortSignal
  readonly progress: (
    stage: string,
    count?: { readonly done: number; readonly total: number },
  ) => void
}

/** The exact nearest points of one query, nearest first; fewer than k where there are fewer. */
export interface QueryTruth {
  readonly ids: readonly string[]
  readonly distances: readonly number[]
}

export interface TruthQuestion {
  /** Row by row. */
  readonly queries: Float32Array
  readonly dimension: number
  readonly k: number
  /** For each query the point that it was made from, which is left out; null where there is none. */
  readonly selfIds: readonly (string | null)[]
}

export interface TruthAnswer {
  /** The state of the index that was compared with. */
  readonly lsn: number
  readonly points: number
  /** For each query. */
  readonly truth: readonly QueryTruth[]
}

export interface RowSample {
  readonly queries: Float32Array
  /** The points that the queries were made from. */
  readonly selfIds: readonly string[]
}

/** Computes off the serving cores. */
export interface TruthSource {
  truth(index: string, question: TruthQuestion, control: TruthControl): Promise<TruthAnswer>

  /**
   * Rows of the index, drawn without repetition, with normal noise; fewer than `count` where there
   * are fewer. With a `noise` of 1 they lie as far from their rows as new points would.
   */
  sample(
    index: string,
    options: { readonly count: number; readonly seed: number; readonly noise: number },
    control: TruthControl,
  ): Promise<RowSample>
}

export interface LiveSample {
  readonly queries: Float32Array
  readonly count: number
}

/** Queries that clients have asked, where an index has opted in. */
export interface LiveQueries {
  /** At most `count` of those that are kept; none where the index has not opted in. */
  take(index: string, count: number): LiveSample
}
