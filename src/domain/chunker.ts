/**
 * Cuts a long text into chunks that an embedder can read: whole sentences, as many as fit.
 *
 *     text ─▶ sentences ─▶ one too long: at its words ─▶ one too long: anywhere ─▶ pieces
 *     pieces ─▶ as many as fit, beginning with the last ones of the chunk before ─▶ chunks
 *
 * A chunk is a slice of the text without white space at its ends, so its offsets say where it came
 * from. Every character that is not white space is in a chunk; no chunk is longer than the bound; no
 * surrogate pair is cut. The same text and options give the same chunks.
 */

import { VectordError } from '../lib/errors.ts'

export interface ChunkOptions {
  /** UTF-16 code units of a chunk at the most; 2 or more. */
  readonly maxChars: number
  /**
   * Sentences (or pieces of one that is too long) at the end of a chunk that the next one repeats,
   * as far as they leave room for a new one.
   */
  readonly overlapSentences: number
  /** A BCP 47 tag: how the language ends its sentences. */
  readonly locale: string
}

/** UTF-16 units in which words are looked for at once: by dictionary, millions take seconds. */
const LOOKED = 10_000

export const CHUNK_DEFAULTS: ChunkOptions = { maxChars: 1000, overlapSentences: 1, locale: 'en' }

/** Offsets in UTF-16 code units: `[start, end)`. */
export interface Span {
  readonly start: number
  readonly end: number
}

export interface Chunk extends Span {
  readonly text: string
}

/**
 * The chunks of `text` in order; none of a blank one. Lazy, so that a caller may do other things
 * while it goes through a long text: no step takes seconds, whatever the text.
 */
export function* chunksOf(text: string, options: ChunkOptions): Generator<Chunk, void> {
  const { maxChars, overlapSentences } = options
  const window: Span[] = []
  for (const piece of pieces(text, options)) {
    if (!fits(window, piece, maxChars)) {
      yield whole(text, window)
      window.splice(0, Math.max(0, window.length - overlapSentences))
      while (!fits(window, piece, maxChars)) window.shift()
    }
    window.push(piece)
  }
  if (window.length > 0) yield whole(text, window)
}

/** @throws {VectordError} `bad_request` where `locale` is no language tag. */
export function checkLocale(locale: string): void {
  try {
    Intl.getCanonicalLocales(locale)
  } catch (error) {
    throw new VectordError('bad_request', 'The locale is not a language tag, such as "en".', {
      details: { field: 'locale' },
      cause: error,
    })
  }
}

function fits(window: readonly Span[], piece: Span, maxChars: number): boolean {
  const [first] = window
  return first === undefined || piece.end - first.start <= maxChars
}

function whole(text: string, window: readonly Span[]): Chunk {
  const { start, end } = joined(window)
  return { start, end, text: text.slice(start, end) }
}

function joined(window: readonly Span[]): Span {
  const start = window[0]?.start ?? 0
  return { start, end: window.at(-1)?.end ?? start }
}

function* pieces(text: string, { maxChars, locale }: ChunkOptions): Generator<Span, void> {
  const sentences = new Intl.Segmenter(locale, { granularity: 'sentence' })
  // No sentence goes on in another line: millions of empty ones need not be looked at.
  for (const { 0: line, index: from } of text.matchAll(/.+/gu)) {
    for (const { segment, index } of sentences.segment(line)) {
      const start = from + index + segment.length - segment.trimStart().length
      const end = from + index + segment.trimEnd().length
      if (end <= start) continue
      if (end - start <= maxChars) yield { start, end }
      else yield* packed(runs(text, { start, end }, { maxChars, locale }), maxChars)
    }
  }
}

/** As many of the small spans as fit, each joined into one. */
function* packed(spans: Iterable<Span>, maxChars: number): Generator<Span, void> {
  const window: Span[] = []
  for (const span of spans) {
    if (!fits(window, span, maxChars)) yield joined(window.splice(0))
    window.push(span)
  }
  if (window.length > 0) yield joined(window)
}

/** What stands between white space; where that is too long, its words, as in Chinese or Thai. */
function* runs(
  text: string,
  { start, end }: Span,
  { maxChars, locale }: Pick<ChunkOptions, 'maxChars' | 'locale'>,
): Generator<Span, void> {
  const words = new Intl.Segmenter(locale, { granularity: 'word' })
  for (const { 0: run, index } of text.slice(start, end).matchAll(/\S+/g)) {
    const from = start + index
    if (run.length <= maxChars) {
      yield { start: from, end: from + run.length }
      continue
    }
    for (const { start: at, end: to } of cuts(
      text,
      { start: from, end: from + run.length },
      LOOKED,
    )) {
      for (const { segment, index: offset } of words.segment(text.slice(at, to))) {
        const word = { start: at + offset, end: at + offset + segment.length }
        yield* cuts(text, word, maxChars)
      }
    }
  }
}

/** Anywhere but in a surrogate pair. */
function* cuts(text: string, { start, end }: Span, maxChars: number): Generator<Span, void> {
  let from = start
  while (end - from > maxChars) {
    const cut = from + maxChars
    const isPair = isHigh(text.charCodeAt(cut - 1)) && !isHigh(text.charCodeAt(cut))
    const to = isPair ? cut - 1 : cut
    yield { start: from, end: to }
    from = to
  }
  yield { start: from, end }
}

function isHigh(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff
}
