/**
 * Texts on their way to vectors, in a real process beside an embedder that does what the test says:
 * killed in every stage, edited while the model thinks, refused, cut off, and another than it was.
 */

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, it, type TestContext } from 'node:test'
import { startOllama, vectorOf, type OllamaServer } from '../support/ollama-server.ts'
import { startOpenAi, type OpenAiServer } from '../support/openai-server.ts'
import { processTree } from '../support/process-tree.ts'
import { temporaryFolder, type Service } from '../support/service.ts'
import { textKillLoop } from '../support/text-kill-loop.ts'
import {
  assertVectors,
  createTexts,
  deleteTexts,
  drain,
  failedTexts,
  foundBy,
  putTexts,
  requeue,
  startTexts,
  statusOf,
  storedTexts,
  TEXTS,
  untilEmbedded,
  untilStatus,
} from '../support/text-service.ts'

const DIMENSION = 48
/** One in each stage. */
const KILLS = 5

interface World {
  readonly openai: OpenAiServer
  readonly service: Service
  /** Starts vectord again on the same folder, after a kill. */
  again(): Promise<Service>
}

async function open(t: TestContext, env: Readonly<Record<string, string>> = {}): Promise<World> {
  const root = await temporaryFolder(t)
  const openai = await startOpenAi()
  t.after(() => openai.close())
  const again = async (): Promise<Service> => {
    const service = await startTexts(root, openai, env)
    t.after(() => service.kill())
    return service
  }
  return { openai, service: await again(), again }
}

async function idsWithVectors(service: Service): Promise<readonly string[]> {
  const stored = [...(await storedTexts(service)).values()]
  return stored.flatMap(({ id, vector }) => (vector === null ? [] : [id])).sort()
}

function fits(text: string): number[] {
  return vectorOf(text, DIMENSION)
}

/** As an embedder of another make embeds. */
function otherwise(text: string): number[] {
  return fits(text).reverse()
}

/** `{ t0: 'about t0', … }` */
function texts(prefix: string, count: number): Record<string, string> {
  return Object.fromEntries(
    Array.from({ length: count }, (_, i) => [`${prefix}${i}`, `about ${prefix}${i}`]),
  )
}

// What waits for a pause to end costs nothing: the others go on beside it.
describe('texts on their way to vectors', { concurrency: 3 }, () => {
  it('a text that is refused fails alone, and is told, requeued and edited', poisoned)

  it(`${KILLS} kills in every stage leave nothing stuck and nothing stale`, async (t) => {
    const seed = Date.now() % 2 ** 31
    t.diagnostic(`seed ${seed}`)
    const counts = await textKillLoop({ root: await temporaryFolder(t), seed, kills: KILLS })
    t.diagnostic(JSON.stringify(counts))
    assert.ok(counts.waited > 0, 'texts waited when it was killed')
    assert.ok(counts.checked > 50, 'the loop compared')
  })

  it('what was edited while the model thought gets its new vector, what was deleted none', edited)
  it('an embedder that is gone holds up no write, and all is embedded when it is back', cutOff)
  it('another embedder needs a yes; the old vectors serve until the new ones are there', changed)
  it('an embedder that became another behind our back is refused, and nothing is mixed', replaced)
  it('the built-in embedder finds paraphrases, and may be killed at work', builtIn)
})

async function poisoned(t: TestContext): Promise<void> {
  const { openai, service } = await open(t)
  await createTexts(service)
  openai.mood.poison = 'poison'
  await putTexts(service, { ...texts('t', 6), p0: 'poison zero', p1: 'poison one' })
  await untilStatus(service, ({ last_error }) => last_error?.code === 'embedder_failed')
  // The batch waits to be tried again; what comes after it does not.
  await putTexts(service, { late: 'later than the others' })
  await untilStatus(service, ({ totals }) => totals.incremental_processed > 0)
  assert.deepEqual(await foundBy(service, 'later than the others'), ['late'])

  const { failed, pending } = await untilStatus(service, ({ state }) => state === 'idle')
  assert.deepEqual([failed, pending], [2, { writes: 2, backfill: 0 }])
  const listed = await failedTexts(service)
  assert.deepEqual(listed.map(({ id }) => id).sort(), ['p0', 'p1'])
  for (const { attempts, reason } of listed) {
    assert.ok(attempts > 4, 'whole, then in halves')
    assert.match(JSON.stringify(reason), /"code":"embedder_failed"/)
    assert.doesNotMatch(JSON.stringify(reason), /poison/, 'a reason quotes no text')
  }
  for (const text of Object.values(texts('t', 6))) {
    assert.equal((await foundBy(service, text))[0], text.slice('about '.length))
  }

  openai.mood.poison = 'poison one'
  assert.deepEqual(await requeue(service, ['p0', 'nobody']), { requeued: 1, unknown: ['nobody'] })
  await untilStatus(service, (status) => status.state === 'idle' && status.failed === 1)
  assert.deepEqual(await foundBy(service, 'poison zero'), ['p0'])
  await putTexts(service, { p1: 'a cure' })
  await untilEmbedded(service)
  assert.deepEqual(await failedTexts(service), [])
  assert.equal((await statusOf(service)).failed, 0)
  assert.deepEqual(await foundBy(service, 'a cure'), ['p1'])
  assertVectors((await storedTexts(service)).values(), fits)
}

async function edited(t: TestContext): Promise<void> {
  const { openai, service } = await open(t)
  await createTexts(service)
  openai.hold()
  await putTexts(service, { kept: 'kept as it is', edited: 'of yesterday', gone: 'soon away' })
  await openai.askedFor('of yesterday')
  await putTexts(service, { edited: 'of today' })
  await deleteTexts(service, ['gone'])
  openai.release()
  const { totals } = await untilEmbedded(service)
  assert.deepEqual(totals, {
    ...{ incremental_processed: 2, backfill_processed: 0, failed: 0, discarded_stale: 2 },
  })
  const stored = await storedTexts(service)
  assert.deepEqual([...stored.keys()].sort(), ['edited', 'kept'])
  assertVectors(stored.values(), fits)
  assert.deepEqual([...(await foundBy(service, 'soon away', 9))].sort(), ['edited', 'kept'])
}

async function cutOff(t: TestContext): Promise<void> {
  const { openai, service: first, again } = await open(t)
  await createTexts(first)
  openai.mood.isDown = true
  await putTexts(first, texts('a', 5))
  await assertCutOff(first, 5)
  await first.kill()
  const second = await again()
  await putTexts(second, texts('b', 3))
  await assertCutOff(second, 8)
  const refused = await second.request('POST', `${TEXTS}/search`, { text: 'about a0' })
  assert.equal(refused.status, 503, refused.text)
  openai.mood.isDown = false
  await untilEmbedded(second)
  for (const [id, text] of Object.entries({ ...texts('a', 5), ...texts('b', 3) })) {
    assert.deepEqual(await foundBy(second, text), [id])
  }
}

/** Texts wait, are told so, and are found by id and by words. */
async function assertCutOff(service: Service, count: number): Promise<void> {
  const { outcome, embedder_unavailable_ticks: ticks, incremental_processed } = await drain(service)
  assert.deepEqual([outcome, incremental_processed], ['embedder_unavailable', 0])
  assert.ok(Number(ticks) > 0)
  const { state, pending, last_error, failed } = await statusOf(service)
  assert.deepEqual([state, failed], ['embedder_unavailable', 0])
  assert.deepEqual(pending, { writes: count, backfill: 0 })
  assert.equal(last_error?.code, 'embedder_unavailable')
  await service.must('GET', `${TEXTS}/points/a4`)
  const found = await service.must('POST', `${TEXTS}/search`, { text: 'a4', mode: 'keyword' })
  assert.match(JSON.stringify(found), /"id":"a4"/)
}

async function changed(t: TestContext): Promise<void> {
  const ollama = await startOllama()
  t.after(() => ollama.close())
  ollama.addModel('e', { dimension: DIMENSION })
  const { openai, service, again } = await open(t, {
    VECTORD_EMBEDDERS_OLLAMA_URL: ollama.url,
    VECTORD_EMBEDDERS_OLLAMA_MODEL: 'e',
    VECTORD_EMBEDDERS_CACHE_BYTES: '0',
  })
  openai.mood.vectorOf = otherwise
  await createTexts(service)
  const old = texts('old', 40)
  await putTexts(service, old)
  await untilEmbedded(service)

  const refused = await service.request('PATCH', TEXTS, { embedder: 'ollama' })
  assert.equal(refused.status, 409, refused.text)
  assert.match(refused.text, /"code":"acknowledgement_needed".*"texts":40/)
  ollama.arm('/api/embed', 'hang', 1)
  await service.must('PATCH', TEXTS, { embedder: 'ollama', acknowledge_rebuild: true })
  await ollama.asked('/api/embed', 2)
  await assertOldServe(service, Object.entries(old))
  await putTexts(service, texts('new', 3))
  ollama.release()
  const { totals } = await untilEmbedded(service)
  assert.deepEqual([totals.incremental_processed, totals.backfill_processed], [43, 40])
  assertVectors((await storedTexts(service)).values(), fits)
  const [, held = [], next = [], last = []] = inputsOf(ollama)
  assert.deepEqual([held.length, [...next].sort(), last.length], [32, newTexts(), 8])

  openai.hold()
  await service.must('PATCH', TEXTS, { embedder: 'openai', acknowledge_rebuild: true })
  const asked = openai.calls.length
  await openai.asked(asked + 1)
  await service.kill()
  openai.release()
  const second = await again()
  await untilEmbedded(second)
  assertVectors((await storedTexts(second)).values(), otherwise)
  assert.deepEqual(await foundBy(second, 'about new1'), ['new1'])
}

async function assertOldServe(
  service: Service,
  old: readonly (readonly [id: string, text: string])[],
): Promise<void> {
  assertVectors((await storedTexts(service)).values(), otherwise)
  for (const [id, text] of old.slice(0, 3)) {
    const search = { vector: otherwise(text), k: 1 }
    const found = await service.must('POST', `${TEXTS}/search`, search)
    assert.match(JSON.stringify(found), new RegExp(`"id":"${id}"`))
  }
  const { state, pending } = await statusOf(service)
  assert.deepEqual([state, pending], ['working', { writes: 0, backfill: old.length }])
}

function inputsOf(ollama: OllamaServer): readonly (readonly string[])[] {
  return ollama.calls('/api/embed').map((body) => (body as { input: string[] }).input)
}

function newTexts(): readonly string[] {
  return Object.values(texts('new', 3)).sort()
}

async function replaced(t: TestContext): Promise<void> {
  const { openai, service: first, again } = await open(t)
  await createTexts(first)
  await putTexts(first, { a: 'about a' })
  await untilEmbedded(first)
  for (const change of [{ model: 'm2' }, { dimension: 40 }] as const) {
    Object.assign(openai.mood, change)
    await putTexts(first, { b: `about b ${JSON.stringify(change)}` })
    await assertMismatch(first, ['a'])
    Object.assign(openai.mood, { model: null, dimension: DIMENSION })
    assert.equal((await drain(first)).outcome, 'idle')
    assertVectors((await storedTexts(first)).values(), fits)
    await deleteTexts(first, ['b'])
  }
  // A start learns who it is now, and the index knows who it was.
  await first.kill()
  openai.mood.dimension = 40
  const second = await again()
  await putTexts(second, { c: 'about c' })
  await assertMismatch(second, ['a'])
  const change = { embedder: 'openai', acknowledge_rebuild: true }
  const refused = await second.request('PATCH', TEXTS, change)
  assert.equal(refused.status, 400, 'an index keeps its dimension')
  await second.kill()
  openai.mood.dimension = DIMENSION
  const third = await again()
  await untilEmbedded(third)
  assertVectors((await storedTexts(third)).values(), fits)
  assert.deepEqual(await foundBy(third, 'about c'), ['c'])
}

async function assertMismatch(service: Service, embedded: readonly string[]): Promise<void> {
  const { last_error, failed } = await untilStatus(
    service,
    ({ state }) => state === 'embedder_mismatch',
  )
  assert.deepEqual([last_error?.code, failed], ['embedder_mismatch', 0])
  for (const [path, body] of [
    [`${TEXTS}/search`, { text: 'what nobody asked before' }],
    ['/vectors/projection/drain', { index: 'notes' }],
  ] as const) {
    const refused = await service.request('POST', path, body)
    assert.equal(refused.status, 409, refused.text)
    assert.match(refused.text, /"code":"embedder_mismatch"/)
  }
  await service.must('POST', `${TEXTS}/search`, { text: 'about', mode: 'keyword' })
  const stored = await storedTexts(service)
  assertVectors(
    embedded.flatMap((id) => stored.get(id) ?? []),
    fits,
  )
  assert.deepEqual(await idsWithVectors(service), embedded, 'nothing else got a vector')
}

const PARAPHRASES = [
  ['I forgot my password, how can I change it?', 'How do I reset my password?'],
  ['A kitten is napping on the couch.', 'The cat sleeps on the sofa.'],
  ['On Sundays the store is not open.', 'The shop is closed on Sunday.'],
  ['The doctor gave her medicine.', 'A physician prescribed pills for the woman.'],
  ['Stocks fell sharply today.', 'Share prices dropped a lot this day.'],
] as const

async function builtIn(t: TestContext): Promise<void> {
  const { service } = await open(t, { VECTORD_PROJECTION_WRITE_BATCH: '4' })
  await createTexts(service, 'local')
  const pairs = PARAPHRASES.map(([text], i) => [`pair${i}`, text] as const)
  await putTexts(service, { ...texts('t', 25), ...Object.fromEntries(pairs) })
  assert.equal((await drain(service)).outcome, 'idle')
  assert.equal((await idsWithVectors(service)).length, 30)
  for (const [i, [, paraphrase]] of PARAPHRASES.entries()) {
    assert.deepEqual(await foundBy(service, paraphrase), [`pair${i}`], paraphrase)
  }
  const refused = await service.request('PATCH', TEXTS, {
    ...{ embedder: 'openai', acknowledge_rebuild: true },
  })
  assert.match(`${refused.status} ${refused.text}`, /^400 .*another dimension/)

  const [before] = await embedderProcesses(service)
  assert.ok(before !== undefined)
  await putTexts(service, texts('more', 100))
  await untilStatus(service, ({ totals }) => totals.incremental_processed >= 38)
  process.kill(before, 'SIGKILL')
  const { totals, failed } = await untilEmbedded(service)
  assert.deepEqual([totals.incremental_processed, failed], [130, 0])
  assert.equal((await idsWithVectors(service)).length, 130)
  const after = await embedderProcesses(service)
  assert.ok(after.length === 1 && after[0] !== before, 'another process went on')
}

/** Those of the built-in embedder of this very service. */
async function embedderProcesses(service: Service): Promise<readonly number[]> {
  const found: number[] = []
  for (const pid of await processTree(service.pid)) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (line.includes('local-embedder-main')) found.push(pid)
  }
  return found
}
