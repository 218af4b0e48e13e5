/**
 * The process of `StreamLoad`.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { headerOf, HttpConnection, postBytes, type Answer } from './http-connection.ts'
import { base64Vector } from './json-vector.ts'
import { percentile } from './statistics.ts'
import type { StreamAnswer, StreamCall } from './stream-load.ts'
import { readVectors, rowOf, type Vectors } from './vectors.ts'
import { serve } from './worker-process.ts'

interface Tally {
  offered: number
  accepted: number
  requests: number
  refused: number
  readonly latencies: number[]
  /** Searches for a point by its vector that the graph led past it: a scan found it. */
  unreached: number
}

type Write = Extract<StreamCall, { readonly kind: 'fill' | 'flood' }>

serve(async (call: StreamCall): Promise<StreamAnswer> => {
  const vectors = readVectors(call.vectors)
  const tally: Tally = {
    offered: 0,
    accepted: 0,
    requests: 0,
    refused: 0,
    latencies: [],
    unreached: 0,
  }
  const writers = call.kind === 'probe' ? 1 : call.writers
  const connections = await Promise.all(
    Array.from({ length: writers }, () => HttpConnection.open(call.url)),
  )
  const start = performance.now()
  if (call.kind === 'fill') await fill(call, { vectors, connections, tally })
  else if (call.kind === 'flood') await flood(call, { vectors, connections, tally })
  else await probe(call, { vectors, connections, tally })
  const wallMs = performance.now() - start
  for (const connection of connections) connection.close()
  const { latencies, ...counts } = tally
  const some = latencies.length > 0 ? latencies : [0]
  return { ...counts, wallMs, p50Ms: percentile(some, 0.5), p99Ms: percentile(some, 0.99) }
})

interface Load {
  readonly vectors: Vectors
  readonly connections: readonly HttpConnection[]
  readonly tally: Tally
}

async function fill(call: Write, { vectors, connections, tally }: Load): Promise<void> {
  let next = 0
  await Promise.all(
    connections.map(async (connection) => {
      while (next < vectors.rows) {
        const from = next
        next = Math.min(vectors.rows, from + call.batch)
        await sendAll(connection, { call, vectors, from, to: next }, tally)
      }
    }),
  )
}

async function sendAll(
  connection: HttpConnection,
  rows: {
    readonly call: Write
    readonly vectors: Vectors
    readonly from: number
    readonly to: number
  },
  tally: Tally,
): Promise<void> {
  for (let from = rows.from; from < rows.to;) {
    const ids = Array.from({ length: rows.to - from }, (_, i) => rows.call.firstId + from + i)
    const { accepted, retryAfterS } = await send(connection, bodyOf(rows, from, ids), tally)
    from += accepted
    if (from < rows.to) await sleep(1000 * retryAfterS)
  }
}

async function flood(
  call: Extract<StreamCall, { readonly kind: 'flood' }>,
  { vectors, connections, tally }: Load,
): Promise<void> {
  const end = performance.now() + call.durationMs
  let id = call.firstId
  await Promise.all(
    connections.map(async (connection, writer) => {
      const from = (writer * call.batch) % Math.max(1, vectors.rows - call.batch)
      while (performance.now() < end) {
        const ids = Array.from({ length: Math.min(call.batch, vectors.rows) }, () => id++)
        await send(connection, bodyOf({ call, vectors }, from, ids), tally)
      }
    }),
  )
}

async function probe(
  call: Extract<StreamCall, { readonly kind: 'probe' }>,
  { vectors, connections, tally }: Load,
): Promise<void> {
  const [connection] = connections
  if (connection === undefined) throw new Error('a probe has a connection')
  for (let row = 0; row < vectors.rows; row += 1) {
    const id = call.firstId + row
    const path = `/vectors/indexes/${call.index}/search`
    const query = `{"vector":"${base64Vector(rowOf(vectors, row))}","k":1`
    const search = postBytes(path, `${query}}`)
    const start = performance.now()
    const { accepted } = await send(connection, bodyOf({ call, vectors }, row, [id]), tally)
    if (accepted !== 1) throw new Error('a probe was refused')
    const answer = await connection.request(search)
    tally.latencies[tally.latencies.length - 1] = performance.now() - start
    if (nearestId(answer.body) === String(id)) continue
    tally.unreached += 1
    const scanned = await connection.request(postBytes(path, `${query},"exact":true}`))
    if (nearestId(scanned.body) !== String(id)) throw new Error(`${id} is lost after its 202`)
  }
}

function nearestId(body: Buffer): string | undefined {
  const { results } = JSON.parse(body.toString()) as { results: { id: string }[] }
  return results[0]?.id
}

interface Prepared {
  readonly bytes: Buffer
  readonly points: number
}

function bodyOf(
  { call, vectors }: { readonly call: StreamCall; readonly vectors: Vectors },
  from: number,
  ids: readonly number[],
): Prepared {
  const { dimension } = vectors
  const block = vectors.data.subarray(from * dimension, (from + ids.length) * dimension)
  const names = JSON.stringify(ids.map(String))
  const body = `{"ids":${names},"vectors":"${base64Vector(block)}"}`
  return { bytes: postBytes(`/vectors/indexes/${call.index}/stream`, body), points: ids.length }
}

async function send(
  connection: HttpConnection,
  { bytes, points }: Prepared,
  tally: Tally,
): Promise<{ readonly accepted: number; readonly retryAfterS: number }> {
  const start = performance.now()
  const answer = await connection.request(bytes)
  tally.offered += points
  tally.requests += 1
  if (answer.status === 202) {
    tally.latencies.push(performance.now() - start)
    tally.accepted += points
    return { accepted: points, retryAfterS: 0 }
  }
  tally.refused += 1
  const taken = takenOf(answer)
  tally.accepted += taken.accepted
  return taken
}

function takenOf(answer: Answer): { readonly accepted: number; readonly retryAfterS: number } {
  const retryAfterS = Number(headerOf(answer, 'retry-after') ?? 1)
  const text = answer.body.toString()
  // In a flood some wait until their deadline.
  if ((answer.status !== 429 && answer.status !== 504) || !(retryAfterS > 0)) {
    throw new Error(`stream answered ${answer.status} ${text.slice(0, 500)}`)
  }
  const { error } = JSON.parse(text) as { error: { details: { accepted: number } } }
  return { accepted: error.details.accepted, retryAfterS }
}
