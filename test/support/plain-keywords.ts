/**
 * BM25 as it is written in the papers: every text looked at, nothing kept.
 */

export interface PlainText {
  readonly id: string
  readonly text: string | null
}

interface PlainScore {
  readonly id: string
  readonly score: number
}

const K1 = 1.2
const B = 0.75

/** The texts with one of `terms` at least, the highest score first; equal ones in their order. */
export function plainBm25(points: Iterable<PlainText>, terms: readonly string[]): PlainScore[] {
  const texts = [...points]
    .map(({ id, text }) => ({ id, words: plainWords(text ?? '') }))
    .filter(({ words }) => words.length > 0)
  const mean = texts.reduce((sum, { words }) => sum + words.length, 0) / texts.length
  const weights = terms.map((term) => {
    const having = texts.filter(({ words }) => words.includes(term)).length
    return Math.log(1 + (texts.length - having + 0.5) / (having + 0.5))
  })
  return texts
    .map(({ id, words }) => {
      const scale = K1 * (1 - B + (B * words.length) / mean)
      let score = 0
      for (const [i, term] of terms.entries()) {
        const count = words.filter((word) => word === term).length
        score += ((weights[i] ?? 0) * count * (K1 + 1)) / (count + scale)
      }
      return { id, score }
    })
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score)
}

export function plainWords(text: string): string[] {
  return text.toLowerCase().match(/[a-z0-9]+/g) ?? []
}
