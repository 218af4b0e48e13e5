/** Chunks of long texts: what they hold, what they never do, and where a cut falls. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { chunksOf, checkLocale, type ChunkOptions } from '../../src/domain/chunker.ts'

const TEXT = 'One is here. Two follows it. Three is the last.'

function cut(text: string, options: Partial<ChunkOptions> = {}): string[] {
  const all = { maxChars: 1000, overlapSentences: 0, locale: 'en', ...options }
  return [...chunksOf(text, all)].map((chunk) => chunk.text)
}

it('a short text is one chunk, without the white space around it', () => {
  assert.deepEqual(cut(`  ${TEXT}\n`), [TEXT])
  assert.deepEqual(
    [...chunksOf(' ab ', { maxChars: 9, overlapSentences: 3, locale: 'en' })],
    [{ start: 1, end: 3, text: 'ab' }],
  )
})

it('a blank text has no chunk', () => {
  assert.deepEqual(cut(''), [])
  assert.deepEqual(cut(' \n\t\u00a0\u2028 '), [])
})

it('chunks are whole sentences, as many as fit', () => {
  assert.deepEqual(cut(TEXT, { maxChars: 30 }), [
    'One is here. Two follows it.',
    'Three is the last.',
  ])
  assert.deepEqual(cut(TEXT, { maxChars: 18 }), [
    'One is here.',
    'Two follows it.',
    'Three is the last.',
  ])
})

it('the next chunk repeats the last sentences, as far as they leave room for a new one', () => {
  const options = { maxChars: 40, overlapSentences: 1 }
  assert.deepEqual(cut(TEXT, options), [
    'One is here. Two follows it.',
    'Two follows it. Three is the last.',
  ])
  // The repeated sentence and the new one together are 34 long.
  assert.deepEqual(cut(TEXT, { ...options, maxChars: 33 }), [
    'One is here. Two follows it.',
    'Three is the last.',
  ])
  assert.deepEqual(cut('A a. B b. C c. D d.', { maxChars: 14, overlapSentences: 9 }), [
    'A a. B b. C c.',
    'B b. C c. D d.',
  ])
})

it('a long sentence is cut between words, a long word anywhere', () => {
  assert.deepEqual(cut('alpha beta, gamma delta', { maxChars: 11 }), ['alpha beta,', 'gamma delta'])
  assert.deepEqual(cut('abcdefgh ij', { maxChars: 3 }), ['abc', 'def', 'gh', 'ij'])
})

it('a language without spaces is cut between its words', () => {
  // "I am a student", "from Kyoto": no cut within 学生 or 京都.
  const chunks = cut('私は京都から来た学生です', { maxChars: 5, locale: 'ja' })
  assert.equal(chunks.join(''), '私は京都から来た学生です')
  assert.ok(!chunks.some((chunk) => chunk.endsWith('学') || chunk.endsWith('京')))
})

it('no surrogate pair is cut, whatever the bound', () => {
  assert.deepEqual(cut('😀😀😀', { maxChars: 3 }), ['😀', '😀', '😀'])
  assert.deepEqual(cut('a😀b', { maxChars: 2 }), ['a', '😀', 'b'])
})

it('millions of letters without a space are looked at bit by bit, empty lines not at all', (t) => {
  const looks = t.mock.method(Intl.Segmenter.prototype, 'segment')
  const han = '学'.repeat(200_000)
  assert.equal(cut(han, { maxChars: 50_000 }).join(''), han)
  const lengths = looks.mock.calls.map((call) => call.arguments[0].length)
  assert.equal(lengths.shift(), han.length, 'the sentence')
  assert.ok(lengths.length > 0 && Math.max(...lengths) <= 10_000)
  looks.mock.resetCalls()
  assert.deepEqual(cut(`a${'\n'.repeat(100_000)}b`), ['a', 'b'])
  assert.equal(looks.mock.callCount(), 2)
})

it('a locale that is no language tag is refused', () => {
  checkLocale('de-CH')
  for (const locale of ['', 'not a tag', 'x', '\ud800']) {
    assert.throws(() => checkLocale(locale), { code: 'bad_request' })
  }
})

const words = fc.constantFrom(
  ...['a', 'the', 'e.g.', 'word', '3.14', 'Mr.', 'longerwordthanmost', '語学', '😀', '👩‍👩‍👧', 'é'],
  ...['.', '!', '?', ' ', '  ', '\n', '\n\n', '\u00a0', '\t', 'x'.repeat(40), 'End. ', '。'],
)
const texts = fc.oneof(
  fc.array(words, { maxLength: 60 }).map((list) => list.join('')),
  fc.string({ unit: 'binary', maxLength: 200 }).map((text) => text.toWellFormed()),
)
const options = fc.record({
  maxChars: fc.integer({ min: 2, max: 60 }),
  overlapSentences: fc.integer({ min: 0, max: 4 }),
  locale: fc.constantFrom('en', 'ja'),
})

it('every chunk is a slice within the bound that begins behind the one before, of sound text', () => {
  fc.assert(
    fc.property(texts, options, (text, how) => {
      let before = { start: -1, end: -1 }
      for (const { start, end, text: part } of chunksOf(text, how)) {
        assert.equal(part, text.slice(start, end))
        assert.ok(part.length <= how.maxChars)
        assert.equal(part.trim(), part)
        assert.ok(part.isWellFormed() && part !== '')
        assert.ok(start > before.start && end > before.end)
        if (how.overlapSentences === 0) assert.ok(start >= before.end)
        before = { start, end }
      }
    }),
    { numRuns: 2000 },
  )
})

it('every character that is not white space is in a chunk, and twice the same is cut the same', () => {
  fc.assert(
    fc.property(texts, options, (text, how) => {
      const chunks = [...chunksOf(text, how)]
      const uncovered = chunks.reduceRight(
        (rest, { start, end }) => rest.slice(0, start) + ' '.repeat(end - start) + rest.slice(end),
        text,
      )
      assert.equal(uncovered.trim(), '')
      assert.deepEqual([...chunksOf(text, how)], chunks)
    }),
    { numRuns: 2000 },
  )
})
