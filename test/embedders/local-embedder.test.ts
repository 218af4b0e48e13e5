/**
 * The built-in embedder is tested as it is: the real model, in its real process.
 */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it, type TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { EmbedderLog } from '../../src/embedders/embedder.ts'
import { LocalEmbedder } from '../../src/embedders/local-embedder.ts'
import { LocalProcess, ProcessGone } from '../../src/embedders/local-process.ts'
import { hasCode } from '../../src/lib/errors.ts'
import { distance, embedderSuite } from './embedder.suite.ts'

function open(t: TestContext, log: EmbedderLog = () => undefined): LocalEmbedder {
  const embedder = new LocalEmbedder(log)
  t.after(() => embedder.close())
  return embedder
}

embedderSuite('local', (t) => Promise.resolve(open(t)))

describe('the built-in model', () => {
  it('puts a paraphrase nearer than what is about something else', async (t) => {
    const embedder = open(t)
    const triples = [
      ['How do I reset my password?', 'I forgot my password, how can I change it?', 'It rains.'],
      ['The cat sleeps on the sofa.', 'A kitten is napping on the couch.', 'Interest rates rose.'],
      [
        'The shop is closed on Sunday.',
        'On Sundays the store is not open.',
        'She plays the violin.',
      ],
    ] as const
    for (const triple of triples) {
      const [text = [], paraphrase = [], other = []] = await embedder.embed(triple)
      assert.ok(distance(text, paraphrase) < distance(text, other) - 0.1, triple[0])
    }
  })

  it('is the one that was measured: 512 numbers, of length 1', async (t) => {
    const { model, version, dimension, normalised } = await open(t).identity()
    assert.deepEqual(
      { model, version, dimension, normalised },
      {
        model: 'universal-sentence-encoder-lite',
        version: '0.2.0',
        dimension: 512,
        normalised: true,
      },
    )
  })

  it('takes any text: symbols, controls, broken characters, spaces, a whole book', async (t) => {
    const embedder = open(t)
    const odd = ['\u0000', '🙂🙂 👩‍👩‍👧', '   ', '\ud800', '\u202e\ufdfa', '𝒳'.repeat(50), '漢字']
    const book = 'It was a dark and stormy night. '.repeat(30_000)
    const vectors = await embedder.embed([...odd, book])
    assert.equal(vectors.length, odd.length + 1)
  })

  it('reads the first 128 pieces of a text', async (t) => {
    const word = 'night '
    const texts = [100, 127, 1000].map((count) => word.repeat(count))
    const tails = await open(t).embed(texts.flatMap((text) => [text, `${text}Shares fell.`]))
    const changes = texts.map((_, i) => distance(tails[2 * i] ?? [], tails[2 * i + 1] ?? []))
    assert.deepEqual(
      changes.map((change) => change > 1e-3),
      [true, true, false],
    )
  })

  it('an empty text fails, and by its place', async (t) => {
    const embedder = open(t)
    await assert.rejects(
      embedder.embed(['a', '', 'b']),
      (error) => hasCode(error, 'embedder_failed') && error.details['row'] === 1,
    )
  })
})

describe('the process of the built-in model', () => {
  it('starts when it is first asked, and ends with close', async (t) => {
    const embedder = open(t)
    const pids = [embedder.pid]
    await embedder.embed(['a'])
    pids.push(embedder.pid)
    const [before, pid] = pids
    assert.equal(before, null)
    assert.ok(isAlive(pid))
    await embedder.close()
    assert.ok(!isAlive(pid))
  })

  it('close ends a start and a batch that are under way', async (t) => {
    const starting = open(t)
    const first = starting.embed(['a'])
    const refused = assert.rejects(first, (error) => hasCode(error, 'embedder_unavailable'))
    await turn()
    await starting.close()
    await refused
    const busy = open(t)
    await busy.embed(['a'])
    const batch = assert.rejects(busy.embed(LONG), (error) =>
      hasCode(error, 'embedder_unavailable'),
    )
    await turn()
    await busy.close()
    await batch
  })

  it('kill -9 in the middle of a batch: the batch is done by the next process', async (t) => {
    const died: unknown[] = []
    const embedder = open(t, (level, { pid, signal }) => {
      if (level === 'error') died.push([pid, signal])
    })
    const before = await embedder.embed(LONG)
    const { pid } = embedder
    const batch = embedder.embed(LONG)
    const beside = embedder.embed(['beside'])
    await turn()
    kill(pid)
    const after = await batch
    assert.equal((await beside).length, 1)
    assert.notEqual(embedder.pid, pid)
    for (const [i, vector] of after.entries()) assert.ok(distance(vector, before[i] ?? []) < 1e-3)
    assert.deepEqual(died, [[pid, 'SIGKILL']])
  })

  it('a batch that two processes die with fails alone', async (t) => {
    const starts = new EventTarget()
    const embedder = open(t, (level) => {
      if (level === 'info') starts.dispatchEvent(new Event('start'))
    })
    await embedder.embed(['a'])
    const again = once(starts, 'start')
    const batch = assert.rejects(embedder.embed(LONG), (error) => hasCode(error, 'embedder_failed'))
    const beside = embedder.embed(['beside'])
    await turn()
    kill(embedder.pid)
    await again
    await turn()
    kill(embedder.pid)
    await batch
    assert.equal((await beside).length, 1)
  })

  it('one that says nothing for too long is killed', async (t) => {
    const life = new LocalProcess(1)
    t.after(() => life.kill())
    await assert.rejects(life.ready, ProcessGone)
    assert.equal((await life.gone).signal, 'SIGKILL')
    await assert.rejects(life.embed(['a']), ProcessGone)
  })

  it('more callers than may wait are told to come again', async (t) => {
    const embedder = open(t)
    const first = embedder.embed(LONG)
    const controller = new AbortController()
    const calls = Array.from({ length: 300 }, () => embedder.embed(LONG, controller.signal))
    const ends = Promise.allSettled(calls)
    await turn()
    controller.abort(new Error('enough'))
    const codes = (await ends).map((end) => {
      const reason: unknown = end.status === 'rejected' ? end.reason : null
      return hasCode(reason, 'embedder_unavailable') ? reason.details['reason'] : 'waited'
    })
    assert.equal(codes.filter((code) => code === 'busy').length, 300 - 255)
    assert.equal((await first).length, LONG.length)
    assert.equal((await embedder.embed(['a'])).length, 1)
  })

  it('dies idle, and the next call has another', async (t) => {
    const deaths = new EventTarget()
    const embedder = open(t, (level) => {
      if (level === 'error') deaths.dispatchEvent(new Event('death'))
    })
    await embedder.embed(['a'])
    const death = once(deaths, 'death')
    kill(embedder.pid)
    await death
    assert.equal((await embedder.embed(['a'])).length, 1)
  })
})

/** Takes many turns. */
const LONG = Array.from({ length: 32 }, (_, i) => `${i} A long text that goes on. `.repeat(10))

function kill(pid: number | null): void {
  assert.ok(pid !== null)
  process.kill(pid, 'SIGKILL')
}

function isAlive(pid: number | null | undefined): boolean {
  assert.ok(typeof pid === 'number')
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
