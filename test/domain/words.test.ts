/** Which words a text has, where they are, and where a query's words are in it. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { highlightsOf, HIGHLIGHTS_MAX } from '../../src/domain/highlights.ts'
import { eachWord, TEXT_UNITS_MAX, WORD_UNITS_MAX, wordsOf } from '../../src/domain/words.ts'

function all(text: string): string[] {
  const terms: string[] = []
  eachWord(text, (term) => terms.push(term))
  return terms
}

it('words are runs of letters and digits, folded to lower case without accents', () => {
  const cases: [string, string[]][] = [
    ['', []],
    ['  --- !? ', []],
    ["The Dog's 2nd bone, x_y", ['the', 'dog', 's', '2nd', 'bone', 'x', 'y']],
    ['Crème BRÛLÉE', ['creme', 'brulee']],
    ['Cre\u0300me', ['creme']],
    ['ＡＢＣ ﬁsh 5㎏ x² İstanbul', ['abc', 'fish', '5', 'x2', 'istanbul']],
    ['Ὀδυσσεύς Ёлка', ['οδυσσευς', 'елка']],
    ['हिन्दी', ['हिन्दी']],
    ['한국어 검색', ['한국어', '검색']],
    ['東京tower', ['東', '京', 'tower']],
    ['𝒜lpha 𐐀𐐁', ['alpha', '𐐨𐐩']],
    ['a\u{1f600}b \ud800c', ['a', 'b', 'c']],
    ['\u0301', []],
  ]
  for (const [text, words] of cases) assert.deepEqual(all(text), words, text)
})

it('the quick way for plain texts gives what the other one gives', () => {
  const plain = fc.string({ unit: 'binary-ascii', maxLength: 80 })
  fc.assert(
    fc.property(plain, (text) => {
      const other = all(`${text} é`)
      assert.deepEqual(all(text), other.slice(0, -1))
    }),
  )
})

it('offsets cut the word out of the text as it was given, whatever it is made of', () => {
  const words = ['dog', 'Été', '東', '𐐀x', '\u{1f600}', 'ﬁn', 'e\u0301', '-']
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...words), { maxLength: 12 }), (parts) => {
      const text = parts.join(' ')
      let last = 0
      eachWord(text, (term, start, end) => {
        assert.ok(start >= last && end > start)
        last = end
        assert.deepEqual(all(text.slice(start, end)), [term])
      })
    }),
  )
})

it('long words and long texts are cut, and no pair of surrogates is torn', () => {
  assert.deepEqual(all('x'.repeat(200)), ['x'.repeat(WORD_UNITS_MAX)])
  const [cut = ''] = all(`y${'𐐀'.repeat(100)}`)
  assert.ok(cut.isWellFormed() && cut.length === WORD_UNITS_MAX - 1)
  assert.equal(all('ab '.repeat(TEXT_UNITS_MAX)).length, Math.ceil(TEXT_UNITS_MAX / 3))
  assert.deepEqual(wordsOf('b a b c d', 3), ['b', 'a', 'c'])
})

it('highlights are the first places of the words, as they stand in the text', () => {
  const text = '\u{1f600} Crème, crème! \u{1f600}CREME brulee'
  const terms = new Set(['creme', 'nothing'])
  const found = highlightsOf(text, terms)
  assert.deepEqual(
    found.map(({ start, end }) => text.slice(start, end)),
    ['Crème', 'crème', 'CREME'],
  )
  assert.deepEqual(found[0], { start: 3, end: 8, term: 'creme' })
  assert.equal(highlightsOf('creme '.repeat(500), terms).length, HIGHLIGHTS_MAX)
})
