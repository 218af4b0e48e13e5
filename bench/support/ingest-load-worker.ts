/**
 * The process of `IngestLoad`.
 *
 * Bodies of JSON rows are made before the clock runs; those of columns are made while it does,
 * which is a copy and a base64 of 500 rows and keeps the memory of the generator flat.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { headerOf, HttpConnection, postBytes } from './http-connection.ts'
import type { IngestAnswer, IngestCall } from './ingest-load.ts'
import { base64Vector, jsonVector } from './json-vector.ts'
import { rowMetadata } from './row-metadata.ts'
import { percentile } from './statistics.ts'
import { readVectors, rowOf, type Vectors } from './vectors.ts'
import { serve } from './worker-process.ts'

interface Tally {
  refused: number
  waitedMs: number
  bodyBytes: number
  lastLsn: number
  readonly latencies: number[]
}

serve(async (call: IngestCall): Promise<IngestAnswer> => {
  const vectors = readVectors(call.vectors)
  const batches = Math.ceil(vectors.rows / call.batch)
  const prepared =
    call.form === 'rows'
      ? Array.from({ length: batches }, (_, batch) => requestOf(call, vectors, batch))
      : null
  const tally: Tally = { refused: 0, waitedMs: 0, bodyBytes: 0, lastLsn: 0, latencies: [] }
  let next = 0
  const connections = await Promise.all(
    Array.from({ length: call.writers }, () => HttpConnection.open(call.url)),
  )
  const cpu = process.cpuUsage()
  const start = performance.now()
  await Promise.all(
    connections.map(async (connection) => {
      while (next < batches) {
        const batch = next
        next += 1
        const request = prepared?.[batch] ?? requestOf(call, vectors, batch)
        await sendUntilTaken(connection, request, tally)
      }
    }),
  )
  const wallMs = performance.now() - start
  const spent = process.cpuUsage(cpu)
  for (const connection of connections) connection.close()
  return {
    points: vectors.rows,
    requests: batches,
    refused: tally.refused,
    wallMs,
    waitedMs: tally.waitedMs / call.writers,
    generatorCpuMs: (spent.user + spent.system) / 1000,
    pointsPerS: (1000 * vectors.rows) / wallMs,
    p50Ms: percentile(tally.latencies, 0.5),
    p99Ms: percentile(tally.latencies, 0.99),
    lastLsn: tally.lastLsn,
    bodyBytes: tally.bodyBytes / batches,
  }
})

async function sendUntilTaken(
  connection: HttpConnection,
  request: Buffer,
  tally: Tally,
): Promise<void> {
  for (;;) {
    const start = performance.now()
    const answer = await connection.request(request)
    if (answer.status === 200) {
      tally.latencies.push(performance.now() - start)
      tally.bodyBytes += request.length
      const { lsn } = JSON.parse(answer.body.toString()) as { lsn: number }
      if (!(lsn > 0)) throw new Error(`no lsn in ${answer.body.toString()}`)
      tally.lastLsn = Math.max(tally.lastLsn, lsn)
      return
    }
    const retryAfterS = Number(headerOf(answer, 'retry-after') ?? Number.NaN)
    if (answer.status !== 429 || !(retryAfterS > 0)) {
      throw new Error(`upsert answered ${answer.status} ${answer.body.toString().slice(0, 500)}`)
    }
    tally.refused += 1
    const waitStart = performance.now()
    await sleep(1000 * retryAfterS)
    tally.waitedMs += performance.now() - waitStart
  }
}

function requestOf(call: IngestCall, vectors: Vectors, batch: number): Buffer {
  const from = batch * call.batch
  const to = Math.min(vectors.rows, from + call.batch)
  const body =
    call.form === 'rows' ? rowsBody(call, vectors, from, to) : columnsBody(call, vectors, from, to)
  return postBytes(`/vectors/indexes/${call.index}/points`, body)
}

function rowsBody(call: IngestCall, vectors: Vectors, from: number, to: number): string {
  const points: string[] = []
  for (let row = from; row < to; row += 1) {
    const id = call.firstId + row
    const metadata =
      call.ranks === null ? '' : `,"metadata":${JSON.stringify(rowMetadata(id, call.ranks))}`
    points.push(`{"id":"${id}","vector":${jsonVector(rowOf(vectors, row))}${metadata}}`)
  }
  return `{"points":[${points.join(',')}]}`
}

function columnsBody(call: IngestCall, vectors: Vectors, from: number, to: number): string {
  const ids: string[] = []
  const metadata: object[] = []
  for (let row = from; row < to; row += 1) {
    const id = call.firstId + row
    ids.push(String(id))
    if (call.ranks !== null) metadata.push(rowMetadata(id, call.ranks))
  }
  const block = vectors.data.subarray(from * vectors.dimension, to * vectors.dimension)
  const column = call.ranks === null ? '' : `,"metadata":${JSON.stringify(metadata)}`
  return `{"ids":${JSON.stringify(ids)},"vectors":"${base64Vector(block)}"${column}}`
}
