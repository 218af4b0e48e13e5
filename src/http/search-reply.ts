/**
 * Answers with points, as JSON text.
 *
 * Put together by hand: metadata is stored as JSON text and is not parsed on its way out, and this
 * is on the path of every query.
 */

import type { Scalar } from '../domain/filter.ts'
import { highlightsOf } from '../domain/highlights.ts'
import { scoreOf, type Metric } from '../domain/metric.ts'
import type {
  Hit,
  HybridHit,
  Include,
  PointVersion,
  SearchPath,
  ShardAnswer,
  StoredPoint,
} from '../domain/search.ts'

export interface PointForm {
  readonly include: Include
  readonly asBase64: boolean
}

export interface SearchForm extends PointForm {
  readonly metric: Metric
  /** Where the configuration comes from. */
  readonly configSource: string
  /** The write as of which was searched; left out where it was the last. */
  readonly asOf?: number | undefined
  /** Words to be shown in the texts, which the hits then hold; null where none are. */
  readonly highlighted: ReadonlySet<string> | null
}

interface Found extends ShardAnswer {
  readonly hits: readonly (Hit | HybridHit)[]
}

export interface GroupedHits {
  readonly groups: readonly {
    readonly key: Scalar
    readonly hits: readonly (Hit | HybridHit)[]
  }[]
  /** Of the last search. */
  readonly path: SearchPath
  readonly exhausted: boolean
  readonly complete: boolean
  readonly searches: number
  readonly lsn: number
}

/** What a search answers; `tookMs` is the time of the search itself. */
export function searchJson(answer: Found, form: SearchForm, tookMs: number): string {
  const { configSource } = form
  let results = ''
  for (const hit of answer.hits) {
    results += `${results === '' ? '' : ','}${hitJson(hit, answer.path, form)}`
  }
  const { path, efUsed, generation, exhausted, lsn } = answer
  return (
    `{"results":[${results}],"path":"${path}","ef_used":${efUsed},"generation":${generation},` +
    `"config_source":"${configSource}","exhausted":${exhausted ? 'true' : 'false'},"lsn":${lsn},` +
    `${asOfJson(answer, form)}"took_ms":${numberJson(Math.round(tookMs * 1000) / 1000)}}`
  )
}

function asOfJson({ completeFrom = 0 }: ShardAnswer, { asOf }: SearchForm): string {
  if (asOf === undefined) return ''
  const complete = asOf >= completeFrom ? 'true' : 'false'
  return `"as_of":{"lsn":${asOf},"complete":${complete},"complete_from":${completeFrom}},`
}

/** What a grouped search answers. */
export function groupsJson(answer: GroupedHits, form: SearchForm, tookMs: number): string {
  const { configSource } = form
  const { path, exhausted, complete, searches, lsn } = answer
  const groups = answer.groups.map(({ key, hits }) => {
    const list = hits.map((hit) => hitJson(hit, path, form)).join(',')
    return `{"key":${JSON.stringify(key)},"hits":[${list}]}`
  })
  return (
    `{"groups":[${groups.join(',')}],"exhausted":${String(exhausted)},` +
    `"complete":${String(complete)},"searches":${searches},"config_source":"${configSource}",` +
    `"lsn":${lsn},"took_ms":${numberJson(Math.round(tookMs * 1000) / 1000)}}`
  )
}

function hitJson(hit: Hit | HybridHit, path: SearchPath, form: SearchForm): string {
  const { id, version } = hit
  return (
    `{"id":${JSON.stringify(id)},${rankJson(hit, path, form.metric)},"version":${version}` +
    `${payloadJson(hit, form)}${highlightsJson(hit, form)}}`
  )
}

/** Distances and scores of keywords have nothing in common: what a hit has none of is null. */
function rankJson(hit: Hit | HybridHit, path: SearchPath, metric: Metric): string {
  const { distance } = hit
  if ('fused' in hit) {
    const { score, vector, keyword } = hit.fused
    return (
      `"score":${score},"distance":${vector === null ? 'null' : numberJson(distance)},` +
      `"ranks":{"vector":${vector ?? 'null'},"keyword":${keyword ?? 'null'}}`
    )
  }
  if (path === 'keyword') return `"score":${-distance},"distance":null`
  return `"score":${numberJson(scoreOf(metric, distance))},"distance":${numberJson(distance)}`
}

function highlightsJson({ text }: Hit, { highlighted }: SearchForm): string {
  if (highlighted === null) return ''
  return `,"highlights":${JSON.stringify(text === null ? [] : highlightsOf(text, highlighted))}`
}

/** A stored point as fetch and scroll show it. */
export function pointJson(point: StoredPoint, form: PointForm): string {
  return `{"id":${JSON.stringify(point.id)},"version":${point.version}${payloadJson(point, form)}}`
}

/** A version as the list of them shows it. */
export function versionJson(version: PointVersion, form: PointForm): string {
  const { kind, endedAt } = version
  return (
    `{"version":${version.version},"live":${kind === 'live' ? 'true' : 'false'},` +
    `"deleted":${kind === 'deleted' ? 'true' : 'false'},"ended_at":${endedAt ?? 'null'}` +
    `${payloadJson(version, form)}}`
  )
}

function payloadJson(point: StoredPoint, { include, asBase64 }: PointForm): string {
  let json = ''
  if (include.metadata) json += `,"metadata":${point.metadata ?? 'null'}`
  if (include.text) json += `,"text":${JSON.stringify(point.text)}`
  if (include.vector) json += `,"vector":${vectorJson(point.vector, asBase64)}`
  return json
}

function vectorJson(vector: Float32Array | null, asBase64: boolean): string {
  if (vector === null) return 'null'
  if (!asBase64) return `[${vector.join(',')}]`
  const { buffer, byteOffset, byteLength } = vector
  return `"${Buffer.from(buffer, byteOffset, byteLength).toString('base64')}"`
}

/** JSON has no infinity; a distance that overflowed must not break the whole answer. */
function numberJson(value: number): string {
  return Number.isFinite(value) ? String(value) : 'null'
}
