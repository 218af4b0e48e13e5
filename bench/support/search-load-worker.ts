/**
 * The process of `SearchLoad`.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { expectedCount, readTruth, recallOf, type Truth } from './ground-truth.ts'
import { HttpConnection, postBytes, type Answer } from './http-connection.ts'
import { base64Vector, jsonVector } from './json-vector.ts'
import type {
  SearchAnswer,
  SearchCall,
  SearchCheck,
  SearchRun,
  SearchSetup,
  SearchTimes,
} from './search-load.ts'
import { percentile } from './statistics.ts'
import { readVectors, rowOf } from './vectors.ts'
import { serve } from './worker-process.ts'

interface Prepared {
  readonly url: string
  readonly k: number
  readonly truth: Truth
  /** Query positions, in the order they are sent. */
  readonly order: readonly number[]
  /** `requests[i]` asks for query `order[i]`. */
  readonly requests: readonly Buffer[]
}

interface Kept {
  readonly query: number
  readonly answer: Answer
}

interface Reply {
  readonly results: readonly { readonly id: string; readonly distance: number }[]
  readonly path: string
  readonly ef_used: number
}

let prepared: Prepared | null = null
let kept: Kept[] = []

serve(async (call: SearchCall): Promise<SearchAnswer> => {
  if (call.kind === 'setup') {
    prepared = prepare(call)
    return null
  }
  if (prepared === null) throw new Error('setup comes first')
  if (call.kind === 'run') return run(prepared, call)
  return check(prepared)
})

function prepare(setup: SearchSetup): Prepared {
  const queries = readVectors(setup.queries)
  const order = setup.only ?? Array.from({ length: queries.rows }, (_, i) => i)
  const rest = `,"k":${setup.k}` + (setup.ef === null ? '' : `,"ef":${setup.ef}`)
  const filters = setup.filters.map((filter) => `,"filter":${JSON.stringify(filter)}`)
  const requests = order.map((query) => {
    const vector = rowOf(queries, query)
    const filter = filters[query % filters.length] ?? ''
    const text = setup.form === 'json' ? jsonVector(vector) : `"${base64Vector(vector)}"`
    return postBytes(`/vectors/indexes/${setup.index}/search`, `{"vector":${text}${rest}${filter}}`)
  })
  return { url: setup.url, k: setup.k, truth: readTruth(setup.truth), order, requests }
}

async function run(setup: Prepared, options: SearchRun): Promise<SearchTimes> {
  const connections = await Promise.all(
    Array.from({ length: options.clients }, () => HttpConnection.open(setup.url)),
  )
  kept = []
  const latencies: number[] = []
  let sent = 0
  const cpu = process.cpuUsage()
  const start = performance.now()
  const end = start + options.durationMs
  await Promise.all(
    connections.map(async (connection) => {
      for (let now = start; now < end && sent < options.requests;) {
        const at = sent % setup.requests.length
        sent += 1
        const answer = await connection.request(setup.requests[at] as Buffer)
        const done = performance.now()
        latencies.push(done - now)
        kept.push({ query: setup.order[at] as number, answer })
        if (options.pauseMs > 0) await sleep(options.pauseMs)
        now = options.pauseMs > 0 ? performance.now() : done
      }
    }),
  )
  const wallMs = performance.now() - start
  const spent = process.cpuUsage(cpu)
  for (const connection of connections) connection.close()
  return {
    answers: kept.length,
    wallMs,
    generatorCpuMs: (spent.user + spent.system) / 1000,
    qps: (1000 * kept.length) / wallMs,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
  }
}

function check(setup: Prepared): SearchCheck {
  let bad = 0
  let firstBad: string | null = null
  let recall = 0
  let efUsed = 0
  let answerBytes = 0
  const paths: Record<string, number> = {}
  for (const { query, answer } of kept) {
    const reply = readReply(answer)
    const problem = reply === null ? 'no answer' : problemOf(setup, query, reply)
    if (reply === null || problem !== null) {
      bad += 1
      firstBad ??= `${String(problem)}: ${answer.status} ${answer.body.toString().slice(0, 500)}`
      continue
    }
    const rows = reply.results.map(({ id }) => Number(id))
    recall += recallOf(setup.truth, query, rows)
    paths[reply.path] = (paths[reply.path] ?? 0) + 1
    efUsed = reply.ef_used
    answerBytes += answer.head.length + 4 + answer.body.length
  }
  const good = kept.length - bad
  kept = []
  const requestBytes = setup.requests.reduce((sum, bytes) => sum + bytes.length, 0)
  return {
    ...{ bad, firstBad, paths, efUsed },
    recall: good === 0 ? 0 : recall / good,
    requestBytes: requestBytes / setup.requests.length,
    answerBytes: good === 0 ? 0 : answerBytes / good,
  }
}

function readReply(answer: Answer): Reply | null {
  if (answer.status !== 200) return null
  return JSON.parse(answer.body.toString()) as Reply
}

function problemOf(setup: Prepared, query: number, { results }: Reply): string | null {
  const expected = expectedCount(setup.truth, query)
  if (results.length !== expected) return `${results.length} results instead of ${expected}`
  if (new Set(results.map(({ id }) => id)).size !== results.length) return 'an id comes twice'
  const isSorted = results.every(
    ({ distance }, i) => i === 0 || distance >= (results[i - 1]?.distance ?? 0),
  )
  return isSorted ? null : 'results are not in order'
}
