/**
 * The words of a text, as keyword searches compare them: of points in a core, of queries in the front.
 *
 *     "Crème brûlée No. 5: ＡＢＣ"  ─▶  creme  brulee  no  5  abc
 *
 * A word is a run of Unicode letters, digits and marks. It is folded by NFKC and to lower case, and
 * the accents of Latin, Greek and Cyrillic letters are left out. Scripts that put no space between
 * words give one word for each character. Nothing is stemmed: see docs/adr/0031.
 */

/** UTF-16 units of a text that are looked at: what comes after is not found by its words. */
export const TEXT_UNITS_MAX = 100_000

/** UTF-16 units of a word; of a longer one these are what counts. */
export const WORD_UNITS_MAX = 64

/** Offsets are UTF-16 units of the text as it was given; `end` is exclusive. */
export type WordVisitor = (term: string, start: number, end: number) => void

/** Calls `visit` for each word, in order. */
export function eachWord(text: string, visit: WordVisitor): void {
  const looked = text.length > TEXT_UNITS_MAX ? text.slice(0, TEXT_UNITS_MAX) : text
  if (ASCII.test(looked)) eachAsciiWord(looked, visit)
  else eachUnicodeWord(looked, visit)
}

/** The first `max` distinct words. */
export function wordsOf(text: string, max: number): string[] {
  const terms = new Set<string>()
  eachWord(text, (term) => {
    if (terms.size < max) terms.add(term)
  })
  return [...terms]
}

const ASCII = /^[\0-\x7f]*$/u

const SPACELESS =
  String.raw`\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}` +
  String.raw`\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}`

const WORDS = new RegExp(
  String.raw`(?=[\p{L}\p{N}\p{M}])[${SPACELESS}]|(?:(?![${SPACELESS}])[\p{L}\p{N}\p{M}])+`,
  'gu',
)

/** Accents of Latin, Greek and Cyrillic; the marks of other scripts tell words apart. */
const ACCENTS = /[\u0300-\u036f]+/gu

/** What a compatibility form may bring in beside letters and digits: the bar of a fraction. */
const NO_WORD = /[^\p{L}\p{N}\p{M}]+/gu

const IS_WORD = new Uint8Array(128)
for (const character of 'abcdefghijklmnopqrstuvwxyz0123456789') {
  IS_WORD[character.charCodeAt(0)] = 1
}

/** Most texts: ten times as fast as by expressions. */
function eachAsciiWord(text: string, visit: WordVisitor): void {
  const lower = text.toLowerCase()
  const { length } = lower
  let at = 0
  while (at < length) {
    while (at < length && IS_WORD[lower.charCodeAt(at)] === 0) at += 1
    const start = at
    while (at < length && IS_WORD[lower.charCodeAt(at)] === 1) at += 1
    if (at > start) visit(lower.slice(start, Math.min(at, start + WORD_UNITS_MAX)), start, at)
  }
}

function eachUnicodeWord(text: string, visit: WordVisitor): void {
  for (const match of text.matchAll(WORDS)) {
    const [word] = match
    const term = fold(word)
    if (term !== '') visit(term, match.index, match.index + word.length)
  }
}

function fold(word: string): string {
  const plain = word.normalize('NFKD').replaceAll(ACCENTS, '').toLowerCase()
  return cut(plain.replaceAll(NO_WORD, '').normalize('NFC'))
}

/** Never between the halves of a surrogate pair. */
function cut(term: string): string {
  if (term.length <= WORD_UNITS_MAX) return term
  const short = term.slice(0, WORD_UNITS_MAX)
  return short.isWellFormed() ? short : short.slice(0, -1)
}
