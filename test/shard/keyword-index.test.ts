/**
 * The index over words against plain BM25: seeded texts of few words, so that lists are long, scores
 * are close, and the terms that are skipped are many.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { KeywordStatistics } from '../../src/domain/search.ts'
import { Bitmap } from '../../src/engines/bitmap.ts'
import { TopK } from '../../src/engines/top-k.ts'
import { KeywordIndex } from '../../src/shard/keyword-index.ts'
import { plainBm25 } from '../support/plain-keywords.ts'
import { seededRandom } from '../support/vectors.ts'

/** What the index sees of a point table. */
class Texts {
  readonly live = new Bitmap()
  readonly texts: (string | null)[] = []

  get slots(): number {
    return this.texts.length
  }

  text(slot: number): string | null {
    return this.texts[slot] ?? null
  }

  add(text: string | null): void {
    this.live.reserve(this.slots + 1)
    this.live.add(this.slots)
    this.texts.push(text)
  }

  kill(slot: number, index: KeywordIndex): void {
    this.live.delete(slot)
    index.remove(slot)
  }

  *points(
    mask: Bitmap = this.live,
  ): Generator<{ readonly id: string; readonly text: string | null }> {
    for (let slot = mask.next(0); slot !== -1; slot = mask.next(slot + 1)) {
      yield { id: String(slot), text: this.text(slot) }
    }
  }
}

interface Asked {
  readonly k?: number
  readonly mask?: Bitmap | null
  readonly statistics?: KeywordStatistics
}

function find(
  index: KeywordIndex,
  terms: readonly string[],
  { k = 10, mask = null, statistics = index.statistics(terms) }: Asked = {},
): { readonly id: string; readonly score: number }[] {
  const top = new TopK()
  top.reset(k)
  index.search({ terms, statistics, mask }, top)
  const { numbers, distances } = top.drain()
  return numbers.map((slot, i) => ({ id: String(slot), score: -(distances[i] ?? NaN) }))
}

function assertSame(
  found: readonly { readonly id: string; readonly score: number }[],
  expected: readonly { readonly id: string; readonly score: number }[],
): void {
  assert.equal(found.length, expected.length)
  for (const [i, { score }] of found.entries()) {
    assert.ok(Math.abs(score - (expected[i]?.score ?? NaN)) < 1e-9, `place ${i}`)
  }
  // Texts with one score may stand in any order: a score belongs to a text all the same.
  const scores = new Map(expected.map(({ id, score }) => [id, score]))
  const last = expected.at(-1)?.score ?? 0
  for (const { id, score } of found) {
    if (score > last + 1e-9) assert.ok(Math.abs(score - (scores.get(id) ?? NaN)) < 1e-9, id)
  }
}

function everyThird(texts: Texts, from: number): Bitmap {
  const mask = new Bitmap(texts.slots)
  for (let slot = from; slot < texts.slots; slot += 3) mask.add(slot)
  mask.intersect(texts.live)
  return mask
}

/** Words `w0`, which half of the texts have, to `w39`, which hardly one has. */
function randomText(random: () => number): string | null {
  if (random() < 0.05) return null
  const words = Array.from({ length: 1 + Math.floor(random() * 15) }, () => {
    return `w${Math.floor(40 * random() ** 4)}`
  })
  return words.join(' ')
}

for (const seed of [1, 2, 3, 4]) {
  it(`seed ${seed}: every ranking is that of plain BM25, while rows die and come`, () => {
    const random = seededRandom(seed)
    const texts = new Texts()
    const index = new KeywordIndex()
    for (let round = 0; round < 3; round += 1) {
      // Enough of them for more than one window of scores.
      for (let i = 0; i < 1500; i += 1) texts.add(randomText(random))
      // Rows that die before they are taken in, and rows that die after.
      for (let i = 0; i < 200; i += 1) texts.kill(Math.floor(random() * texts.slots), index)
      while (index.catchUp(texts, 5000)) assert.ok(index.isBehind(texts))
      for (let i = 0; i < 200; i += 1) texts.kill(Math.floor(random() * texts.slots), index)
      for (let i = 0; i < 20; i += 1) {
        const count = 1 + Math.floor(random() * 5)
        const terms = [
          ...new Set(Array.from({ length: count }, () => `w${Math.floor(random() * 42)}`)),
        ]
        const expected = plainBm25(texts.points(), terms)
        const k = 1 + Math.floor(random() * 30)
        assertSame(find(index, terms, { k }), expected.slice(0, k))
        assert.equal(find(index, terms, { k: 5000 }).length, expected.length)
        const mask = everyThird(texts, i % 3)
        const ids = new Set([...texts.points(mask)].map(({ id }) => id))
        const masked = expected.filter(({ id }) => ids.has(id))
        assertSame(find(index, terms, { k, mask }), masked.slice(0, k))
      }
    }
  })
}

it('statistics count live texts alone, and are right again after each death', () => {
  const texts = new Texts()
  const index = new KeywordIndex()
  for (const text of ['a a b', 'a', 'b c', null, '', '!']) texts.add(text)
  assert.equal(index.catchUp(texts, 1e6), false)
  const terms = ['a', 'b', 'c', 'd']
  assert.deepEqual(index.statistics(terms), { documents: 3, words: 6, frequencies: [2, 2, 1, 0] })
  texts.kill(2, index)
  texts.kill(5, index)
  index.remove(2)
  assert.deepEqual(index.statistics(terms), { documents: 2, words: 4, frequencies: [2, 1, 0, 0] })
  texts.add('c d c')
  index.catchUp(texts, 1e6)
  assert.deepEqual(index.statistics(terms), { documents: 3, words: 7, frequencies: [2, 1, 1, 1] })
  for (const slot of [0, 1, 6]) texts.kill(slot, index)
  assert.deepEqual(index.statistics(terms), { documents: 0, words: 0, frequencies: [0, 0, 0, 0] })
  assert.deepEqual(find(index, terms), [])
})

it('statistics from outside decide the scores', () => {
  const texts = new Texts()
  const index = new KeywordIndex()
  for (const text of ['a b', 'b c']) texts.add(text)
  index.catchUp(texts, 1e6)
  const statistics = { documents: 1000, words: 4000, frequencies: [10, 900] }
  const [first] = find(index, ['a', 'b'], { statistics })
  const idf = (frequency: number): number =>
    Math.log(1 + (1000 - frequency + 0.5) / (frequency + 0.5))
  const scale = 1.2 * (0.25 + (0.75 * 2) / 4)
  assert.equal(first?.id, '0')
  assert.ok(Math.abs(first.score - ((idf(10) + idf(900)) * 2.2) / (1 + scale)) < 1e-9)
})

it('a word that comes a thousand times counts as many, and the work stays small', () => {
  const texts = new Texts()
  const index = new KeywordIndex()
  texts.add('spam '.repeat(1000))
  texts.add('spam once')
  texts.add(`${'x'.repeat(100)} long`)
  index.catchUp(texts, 1e6)
  assert.equal(find(index, ['spam']).length, 2)
  assert.ok(find(index, ['spam']).every(({ score }) => Number.isFinite(score) && score > 0))
  assert.equal(find(index, ['x'.repeat(64)])[0]?.id, '2')
  assert.ok(index.memoryBytes > 0 && index.memoryBytes < 10_000)
})

it('rows are taken in bit by bit, one at least', () => {
  const texts = new Texts()
  const index = new KeywordIndex()
  for (let i = 0; i < 10; i += 1) texts.add('word '.repeat(100))
  const slots: number[] = []
  do slots.push(index.slots)
  while (index.catchUp(texts, 1))
  assert.deepEqual(slots, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
})
