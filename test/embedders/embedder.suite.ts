/**
 * The contract of `Embedder`, run against every backend.
 *
 * How: each case gets an embedder of its own from `open`. A new backend passes by adding one test file
 * that calls `embedderSuite`.
 */

import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import type { Embedder } from '../../src/embedders/embedder.ts'
import { hasCode } from '../../src/lib/errors.ts'

export type OpenEmbedder = (t: TestContext) => Promise<Embedder>

const TEXTS = [
  'A cat sits on the mat.',
  'Shares fell on Monday.',
  'A cat sits on the mat.',
  'é 🙂\n\t',
]
/** More than any backend takes at once here. */
const MANY = 70

/** How far two vectors of one text may lie apart: batches are computed in another order. */
const CLOSE = 1e-3

export function embedderSuite(name: string, openEmbedder: OpenEmbedder): void {
  const open = async (t: TestContext): Promise<Embedder> => {
    const embedder = await openEmbedder(t)
    t.after(() => embedder.close())
    return embedder
  }

  describe(`Embedder: ${name}`, () => {
    it('says who it is, always the same', async (t) => {
      const embedder = await open(t)
      const [first, beside] = await Promise.all([embedder.identity(), embedder.identity()])
      const later = await embedder.identity()
      assert.deepEqual([beside, later], [first, first])
      assert.ok(first.model !== '' && first.version !== '' && first.dimension > 0)
    })

    it('answers a vector for each text, in order, of its dimension', async (t) => {
      const embedder = await open(t)
      const { dimension, normalised } = await embedder.identity()
      const vectors = await embedder.embed(TEXTS)
      assert.equal(vectors.length, TEXTS.length)
      for (const vector of vectors) {
        assert.equal(vector.length, dimension)
        assert.ok(vector.every(Number.isFinite))
        if (normalised) assert.ok(Math.abs(length(vector) - 1) < CLOSE)
      }
      const [cat = [], shares = [], again = []] = vectors
      assert.ok(distance(cat, again) < CLOSE)
      assert.ok(distance(cat, shares) > 10 * CLOSE)
    })

    it('gives a text the same vector alone and among many', async (t) => {
      const embedder = await open(t)
      const texts = Array.from({ length: MANY }, (_, i) => `The text number ${i} of many.`)
      const together = await embedder.embed(texts)
      assert.equal(together.length, MANY)
      for (const i of [0, 31, 32, MANY - 1]) {
        const [alone = []] = await embedder.embed([texts[i] ?? ''])
        assert.ok(distance(alone, together[i] ?? []) < CLOSE, `text ${i}`)
      }
    })

    it('takes callers side by side, each with its own answer', async (t) => {
      const embedder = await open(t)
      const answers = await Promise.all(TEXTS.map((text) => embedder.embed([text])))
      const together = await embedder.embed(TEXTS)
      for (const [i, [vector = []]] of answers.entries()) {
        assert.ok(distance(vector, together[i] ?? []) < CLOSE)
      }
    })

    it('the vectors belong to the caller', async (t) => {
      const embedder = await open(t)
      const [before, twin] = await embedder.embed(['A text.', 'A text.'])
      before?.fill(0)
      const [after = []] = await embedder.embed(['A text.'])
      assert.ok(length(after) > 0)
      assert.ok(distance(after, twin ?? []) < CLOSE)
    })

    it('no texts have no vectors', async (t) => {
      assert.deepEqual(await (await open(t)).embed([]), [])
    })

    it('ends a call with the reason of its signal, and goes on', async (t) => {
      const embedder = await open(t)
      const reason = new Error('enough')
      const controller = new AbortController()
      const call = embedder.embed(TEXTS, controller.signal)
      controller.abort(reason)
      await assert.rejects(call, reason)
      await assert.rejects(embedder.embed(TEXTS, AbortSignal.abort(reason)), reason)
      assert.equal((await embedder.embed(TEXTS)).length, TEXTS.length)
    })

    it('answers nothing after it was closed', async (t) => {
      const embedder = await open(t)
      await embedder.embed(['A text.'])
      await embedder.close()
      await embedder.close()
      await assert.rejects(embedder.embed(['Another text.']), isUnavailable)
    })
  })
}

export function isUnavailable(error: unknown): boolean {
  return hasCode(error, 'embedder_unavailable') && error.retryAfterS !== null
}

type Vector = readonly number[] | Float32Array

function length(vector: Vector): number {
  return Math.hypot(...vector)
}

export function distance(a: Vector, b: Vector): number {
  return a.length === b.length ? Math.hypot(...a.map((x, i) => x - (b[i] ?? NaN))) : Infinity
}
