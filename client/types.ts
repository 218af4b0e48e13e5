/**
 * The shapes of requests and answers, taken from the generated types of `/openapi.json`.
 *
 * Fields are in snake_case, as on the wire and in the documentation. Vectors alone differ: methods
 * take and give numbers where the wire has base64.
 */

import type { paths } from './api-types.ts'
import type { VectorInput } from './vectors.ts'

type Path = keyof paths
type Verb = 'get' | 'post' | 'put' | 'patch' | 'delete'

interface Answering<Status extends number, Json> {
  responses: Record<Status, { content: { 'application/json': Json } }>
}

/** What a route answers with a status. */
export type Answer<P extends Path, V extends Verb, Status extends number = 200> =
  paths[P][V] extends Answering<Status, infer Json> ? Json : never

/** The JSON body that a route takes. */
export type Body<P extends Path, V extends Verb> = paths[P][V] extends {
  requestBody?: { content: { 'application/json': infer Json } }
}
  ? Json
  : never

export type Metadata = Readonly<Record<string, unknown>>
/** A condition on metadata, such as `{ year: { $gte: 2020 } }`. */
export type Filter = Readonly<Record<string, unknown>>

/** Of every call. */
export interface CallOptions {
  /** Ends the call, also its waiting for a retry. */
  readonly signal?: AbortSignal
  /** Milliseconds of each try until its answer is read; those of the client without it. */
  readonly timeoutMs?: number
}

/** Of writes of points. */
export interface WriteOptions extends CallOptions {
  /** Answer when the points can be searched (the default), or already when they are durable. */
  readonly ack?: 'applied' | 'logged'
}

/** Of changes that may insist on what their author has seen. */
export interface ChangeOptions extends CallOptions {
  /** The revision that the change is made to; another one: 412. */
  readonly ifRevision?: number
}

export interface PointInput {
  readonly id: string
  /** May be left out where the index has an embedder and the point a text. */
  readonly vector?: VectorInput | null
  readonly text?: string | null
  readonly metadata?: Metadata | null
}

export type Include = 'metadata' | 'vector' | 'text'

export interface Point {
  readonly id: string
  /** The lsn of the write that made it. */
  readonly version: number
  readonly vector?: Float32Array | null
  readonly text?: string | null
  readonly metadata?: Metadata | null
}

export interface ReadOptions extends CallOptions {
  /** What comes with each point; metadata alone by default. */
  readonly include?: readonly Include[]
  /** Waits until this write is seen. */
  readonly minLsn?: number
}

type SearchBody = Body<'/vectors/indexes/{index}/search', 'post'>
type SearchJson = Answer<'/vectors/indexes/{index}/search', 'post'>
export type HitJson = SearchJson['results'][number]

/** A search: one of `vector`, `id` and `text`; see the documentation for the rest. */
export interface SearchQuery extends Omit<SearchBody, 'vector' | 'vector_encoding' | 'include'> {
  readonly vector?: VectorInput
  readonly include?: readonly (Include | 'highlights')[]
}

export interface Hit extends Omit<HitJson, 'vector'> {
  readonly vector?: Float32Array | null
}

export interface SearchResult extends Omit<SearchJson, 'results'> {
  /** Nearest first. */
  readonly results: readonly Hit[]
}

export type WriteResult = Answer<'/vectors/indexes/{index}/points', 'post'>
export type StreamResult = Answer<'/vectors/indexes/{index}/stream', 'post', 202>

export type NewIndex = Body<'/vectors/indexes', 'post'>
export type IndexChange = Body<'/vectors/indexes/{index}', 'patch'>
export type IndexInfo = Answer<'/vectors/indexes/{index}', 'get'>
export type IndexHealth = Answer<'/vectors/indexes/{index}/health', 'get'>
export type Verification = Answer<'/vectors/indexes/{index}/verify', 'post'>
export type Checkpoint = Answer<'/vectors/indexes/{index}/checkpoint', 'post'>

export type Operation = Answer<'/operations/{id}', 'get'>

export type NewBucket = Body<'/storage/buckets', 'post'>
export type Bucket = Answer<'/storage/buckets', 'get'>['buckets'][number]
export type BucketHealth = Answer<'/storage/bucket-health', 'get'>['buckets'][number]

export type Promoted = Answer<'/vectors/hnsw/promoted/{index}', 'get'>
export type Promotion = NonNullable<Promoted['current']>
export type ConfigChanged = Answer<'/vectors/hnsw/rollback/{index}', 'post'>
export type AuditEntry = Answer<'/vectors/hnsw/promoted/{index}/audit', 'get'>['entries'][number]
export type LiveRecall = Answer<'/vectors/indexes/{index}/recall', 'get'>
export type RecallCurve = Answer<'/vectors/hnsw/curve/{index}', 'get'>

export type Trial = Answer<'/vectors/hnsw/trials/{index}/{trial_id}', 'get'>
export type NewTrial = Omit<Body<'/vectors/hnsw/trial', 'post'>, 'index'>
export type TuneRequest = Omit<Body<'/vectors/hnsw/autotune', 'post'>, 'index'>
export type TuneOutcome = Answer<'/vectors/hnsw/autotune', 'post'>
export type EvalSet = Answer<'/vectors/hnsw/evals/{name}/autogen', 'post'>
export type EvalRequest = Body<'/vectors/hnsw/evals/{name}/autogen', 'post'>

export type AgentStatus = Answer<'/vectors/agent/status', 'get'>
export type AgentSettings = Answer<'/vectors/agent/{index}', 'get'>
export type AgentChange = Body<'/vectors/agent/{index}', 'put'>
export type AgentExplanation = Answer<'/vectors/agent/explain/{index}', 'get'>
export type AgentProposal = Answer<'/vectors/agent/propose/{index}', 'post'>

export type Readiness = Answer<'/readyz', 'get'>
export type ServiceStatus = Answer<'/healthz', 'get'>
