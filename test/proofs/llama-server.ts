/**
 * The embedder `openai` at a real llama.cpp: `npm run proof:llama-server -- --seed 1`.
 *
 * How: Debian's `llama-server`, or the one of `--binary PATH`, with a model of random weights. It keeps
 * the contract of embedders; then texts of a real vectord go through it, also while it is killed.
 */

import assert from 'node:assert/strict'
import { after, afterEach, describe, it, type TestContext } from 'node:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { openAiEmbedder } from '../../src/embedders/openai-embedder.ts'
import { hasCode } from '../../src/lib/errors.ts'
import { embedderSuite } from '../embedders/embedder.suite.ts'
import { findLlama, LLAMA_UBATCH, LlamaServer, llamaVersion } from '../support/llama-server.ts'
import { startService, temporaryFolder, type Service } from '../support/service.ts'
import { TINY_CONTEXT, TINY_DIMENSION } from '../support/tiny-gguf.ts'

const MODEL = 'tiny'
const POINTS = '/vectors/indexes/notes/points'
const KILLS = 5
/** Points of one write. */
const BATCH = 100
const WRITES_BESIDE = 3
/** A letter and a blank are one token. The first is answered 400, the second 500. */
const TOO_LONG = [TINY_CONTEXT, LLAMA_UBATCH].map((tokens) => 'a '.repeat(tokens))

const { values } = parseArgs({
  options: {
    binary: { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    minutes: { type: 'string', default: '10' },
  },
})
const seed = Number(values.seed)
const timeout = Number(values.minutes) * 60_000
if (!Number.isSafeInteger(seed) || !(timeout > 0)) {
  throw new Error('--seed and --minutes are numbers')
}
const command = await findLlama(values.binary ?? null)
process.stdout.write(`seed ${seed}; llama-server ${await llamaVersion(command)}\n`)
const folder = await mkdtemp(join(tmpdir(), 'vectord-llama-'))
const llama = await LlamaServer.start(command, { folder, seed })
after(async () => {
  await llama.kill()
  await rm(folder, { recursive: true })
})

const counts = { passed: 0, failed: 0 }
afterEach((t) => {
  if ('passed' in t) counts[t.passed ? 'passed' : 'failed'] += 1
})
process.once('exit', (code) => {
  const failed = code === 0 ? counts.failed : Math.max(1, counts.failed)
  process.stdout.write(`${counts.passed} passed, ${failed} failed\n`)
})

describe('llama-server', { timeout }, () => {
  embedderSuite('openai at llama-server', async () => openEmbedder())

  it('has the dimension of its model, and vectors of length 1', async (t) => {
    const embedder = openEmbedder()
    t.after(() => embedder.close())
    const { model, version, dimension, normalised } = await embedder.identity()
    assert.deepEqual(
      { model, version, dimension, normalised },
      { model: MODEL, version: MODEL, dimension: TINY_DIMENSION, normalised: true },
    )
  })

  it('a text that it cannot take is at fault, and no other', async (t) => {
    const embedder = openEmbedder()
    t.after(() => embedder.close())
    const reasons: unknown[] = []
    for (const text of TOO_LONG) {
      await assert.rejects(embedder.embed(['a', text]), (error) => {
        if (hasCode(error, 'embedder_failed')) reasons.push(error.details['reason'])
        return hasCode(error, 'embedder_failed')
      })
    }
    assert.deepEqual(reasons, ['status_400', 'status_500'])
    assert.equal((await embedder.embed(['a text that it can take'])).length, 1)
  })

  it('texts are found by themselves, but for those that it cannot take', async (t) => {
    const service = await serve(t)
    const texts = textsOf('found', BATCH)
    const bad = TOO_LONG.map((text, i) => ({ id: `bad${i}`, text }))
    await service.must('POST', POINTS, { points: texts.toSpliced(50, 0, ...bad) })
    await drained(service, bad.length)
    const { failed } = (await service.must('GET', '/vectors/projection/failed?index=notes')) as {
      failed: { id: string; reason: { code: string } }[]
    }
    assert.deepEqual(failed.map(({ id }) => id).sort(), bad.map(({ id }) => id).sort())
    assert.ok(failed.every(({ reason }) => reason.code === 'embedder_failed'))
    await assertFound(service, texts)
  })

  it(`texts wait while it is dead, ${KILLS} times, and none is lost`, async (t) => {
    const service = await serve(t)
    t.after(() => llama.start())
    const texts: Text[] = []
    const write = async (): Promise<void> => {
      const points = textsOf(`text ${texts.length}`, BATCH)
      await service.must('POST', POINTS, { points })
      texts.push(...points)
    }
    for (let kill = 1; kill <= KILLS; kill += 1) {
      const before = (await progress(service)).embedded
      for (let i = 0; i < WRITES_BESIDE; i += 1) await write()
      await until(service, ({ embedded }) => embedded > before)
      await llama.kill()
      for (let i = 0; i < WRITES_BESIDE; i += 1) await write()
      const dead = await until(service, ({ state }) => state === 'embedder_unavailable')
      assert.ok(dead.pending > 0 && dead.failed === 0, JSON.stringify(dead))
      assert.equal(await waiting(service, texts.at(-1)?.id ?? ''), true)
      await llama.start()
      await drained(service, 0)
    }
    await assertFound(service, texts)
  })
})

interface Text {
  readonly id: string
  readonly text: string
}

function textsOf(name: string, count: number): Text[] {
  return Array.from({ length: count }, (_, i) => {
    return { id: `${name} ${i}`, text: `${name}, which is number ${i} of ${count}.` }
  })
}

function openEmbedder(): ReturnType<typeof openAiEmbedder> {
  return openAiEmbedder({
    ...{ url: llama.url, model: MODEL, key: { kind: 'value', key: '' } },
    ...{ timeoutMs: 10_000, batchMax: 32, retries: 2 },
  })
}

async function serve(t: TestContext): Promise<Service> {
  const env = { VECTORD_EMBEDDERS_OPENAI_URL: llama.url, VECTORD_EMBEDDERS_OPENAI_MODEL: MODEL }
  const service = await startService(await temporaryFolder(t), { env })
  t.after(() => service.kill())
  await service.ready()
  const index = { name: 'notes', metric: 'cosine', embedder: 'openai', shards: 2 }
  await service.must('POST', '/vectors/indexes', index)
  return service
}

interface Progress {
  readonly state: string
  readonly pending: number
  readonly failed: number
  readonly embedded: number
}

function progressOf(body: unknown): Progress {
  const { indexes } = body as {
    indexes: readonly {
      readonly state: string
      readonly pending: { readonly writes: number; readonly backfill: number } | null
      readonly failed: number
      readonly totals: { readonly incremental_processed: number }
    }[]
  }
  const [notes] = indexes
  assert.ok(notes !== undefined)
  const { state, pending, failed, totals } = notes
  const count = pending === null ? NaN : pending.writes + pending.backfill
  return { state, pending: count, failed, embedded: totals.incremental_processed }
}

async function progress(service: Service): Promise<Progress> {
  return progressOf(await service.must('GET', '/vectors/projection'))
}

async function until(service: Service, holds: (now: Progress) => boolean): Promise<Progress> {
  const reply = await service.eventually('/vectors/projection', ({ body }) =>
    holds(progressOf(body)),
  )
  return progressOf(reply.body)
}

/** @param failed texts that cannot be embedded. */
async function drained(service: Service, failed: number): Promise<void> {
  await service.must('POST', '/vectors/projection/drain', { index: 'notes' })
  const now = await until(service, ({ pending }) => pending === failed)
  assert.equal(now.failed, failed)
}

/** True where a point has a text and no vector. */
async function waiting(service: Service, id: string): Promise<boolean> {
  const path = `${POINTS}/${encodeURIComponent(id)}?include=vector`
  return ((await service.must('GET', path)) as { vector: unknown }).vector === null
}

async function assertFound(service: Service, texts: readonly Text[]): Promise<void> {
  for (const { id, text } of texts.filter((_, i) => i % 20 === 0)) {
    const body = { text, mode: 'vector', k: 1 }
    const found = await service.must('POST', '/vectors/indexes/notes/search', body)
    const { results } = found as { results: { id: string }[] }
    assert.deepEqual(
      results.map((hit) => hit.id),
      [id],
    )
  }
}
