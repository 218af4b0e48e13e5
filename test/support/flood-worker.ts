/**
 * The process of `Flood`. Vectors are made before the runs, so that it is not its own limit.
 */

import assert from 'node:assert/strict'
import { Agent, request, type IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FloodCall, FloodCounts, FloodNews, FloodOptions, FloodRun } from './flood.ts'
import { seededRandom } from './vectors.ts'

const POOL = 2000
const RETRY_MS = 20

interface Tally {
  due: number
  sent: number
  acknowledged: number
  refused: number
}

class Writers {
  readonly #options: FloodOptions
  readonly #agent: Agent
  readonly #pool: readonly string[]
  #next = 0

  constructor(options: FloodOptions) {
    this.#options = options
    this.#agent = new Agent({ keepAlive: true, maxSockets: options.writersMax })
    const random = seededRandom(options.seed)
    this.#pool = Array.from({ length: POOL }, () => base64Vector(random, options.dimension))
  }

  async run({ batchesPerS, durationMs }: FloodRun): Promise<FloodCounts> {
    const tally: Tally = { due: 0, sent: 0, acknowledged: 0, refused: 0 }
    const endMs = performance.now() + durationMs
    if (batchesPerS === null) await this.#runClosed(tally, endMs)
    else await this.#runOpen(tally, endMs, batchesPerS)
    return tally
  }

  async #runClosed(tally: Tally, endMs: number): Promise<void> {
    const write = async (): Promise<void> => {
      while (performance.now() < endMs) {
        tally.due += 1
        if (!(await this.#send(tally))) await sleep(RETRY_MS)
      }
    }
    await Promise.all(Array.from({ length: this.#options.writersMax }, write))
  }

  async #runOpen(tally: Tally, endMs: number, batchesPerS: number): Promise<void> {
    const startMs = performance.now()
    const underWay = new Set<Promise<unknown>>()
    for (let nowMs = startMs; nowMs < endMs; nowMs = performance.now()) {
      for (const due = ((nowMs - startMs) * batchesPerS) / 1000; tally.due < due; tally.due += 1) {
        if (underWay.size >= this.#options.writersMax) continue
        const sent = this.#send(tally).finally(() => underWay.delete(sent))
        underWay.add(sent)
      }
      await Promise.race([sleep(1000 / batchesPerS), failureOf(underWay)])
    }
    await Promise.all(underWay)
  }

  /** @returns whether it was acknowledged. */
  async #send(tally: Tally): Promise<boolean> {
    const batch = this.#next % this.#options.batches
    this.#next += 1
    tally.sent += 1
    const response = await this.#post(this.#body(batch))
    let text = ''
    for await (const chunk of response) text += String(chunk)
    if (response.statusCode === 200) {
      tally.acknowledged += 1
      tell({ batch })
      return true
    }
    tally.refused += 1
    const status = response.statusCode ?? 0
    assert.ok(status === 429 || status === 503, `${status} ${text}`)
    assert.match(response.headers['retry-after'] ?? '', /^[1-9]\d*$/, text)
    return false
  }

  #body(batch: number): Buffer {
    const rows = Array.from({ length: this.#options.batch }, (_, row) => row)
    const ids = rows.map((row) => `${batch}-${row}`)
    const vectors = rows.map((row) => this.#pool[(batch * 331 + row) % POOL])
    return Buffer.from(JSON.stringify({ ids, vectors }))
  }

  #post(body: Buffer): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json', 'content-length': body.length }
      const sent = request(this.#options.url, { method: 'POST', agent: this.#agent, headers })
      sent.on('response', resolve)
      sent.on('error', reject)
      sent.end(body)
    })
  }
}

/** Rejects with the first of `all` that fails; otherwise stays open. */
async function failureOf(all: ReadonlySet<Promise<unknown>>): Promise<void> {
  await Promise.all(all)
  await new Promise(() => undefined)
}

function base64Vector(random: () => number, dimension: number): string {
  const vector = Float32Array.from({ length: dimension }, () => 2 * random() - 1)
  return Buffer.from(vector.buffer).toString('base64')
}

function tell(news: FloodNews): void {
  process.send?.(news)
}

let writers: Writers | null = null
process.on('message', (call: FloodCall) => {
  if ('set' in call) {
    writers = new Writers(call.set)
    return
  }
  assert.ok(writers !== null)
  writers.run(call.run).then(
    (done) => tell({ done }),
    (error: unknown) => tell({ failed: error instanceof Error ? (error.stack ?? '') : '' }),
  )
})
process.on('disconnect', () => process.exit())
