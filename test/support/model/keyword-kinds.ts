/**
 * Searches by words: as many hits as can be, those of the texts that hold one of the words.
 */

import assert from 'node:assert/strict'
import type { ModelIndex } from './model-index.ts'
import { answered, onIndex, refused, type ModelRun, type OperationKind } from './model-run.ts'
import type { SearchAnswer } from './search-check.ts'

/** Words of the texts that dice write, and the piece of a text that each is in. */
const WORDS: readonly (readonly [word: string, piece: string])[] = [
  ['A', 'a'],
  ['words', 'two words'],
  ['NAIVE', 'naïve café'],
  ['café', 'naïve café'],
  ['quoted', '"quoted"'],
  ['absent', 'absent'],
]

export const KEYWORD_KINDS: readonly OperationKind[] = [
  onIndex('search_keywords', 20, searchKeywords),
  onIndex('search_meaning', 1, async (run, index) => {
    const body = { text: 'hello', mode: 'vector' }
    const reply = await run.send('POST', `${index.path}/search`, body)
    refused(reply, 409, 'not_configured')
  }),
]

async function searchKeywords(run: ModelRun, index: ModelIndex): Promise<void> {
  const { dice } = run
  const asked = dice.some(WORDS, dice.int(1, 2))
  const k = dice.int(1, 120)
  const filter = dice.chance(0.3) ? dice.filter() : null
  const body = { text: asked.map(([word]) => word).join(' '), k, ...(filter && { filter }) }
  const reply = await run.send('POST', `${index.path}/search`, body)
  const answer = answered(reply, 200) as SearchAnswer
  const expected = index.matching(filter).filter(({ text }) => {
    return asked.some(([, piece]) => (piece === 'a' ? text === 'a' : text?.includes(piece)))
  })
  const ids = new Set(expected.map(({ id }) => id))
  const { results } = answer
  assert.equal(answer.path, 'keyword')
  assert.equal(answer.lsn, index.lsn)
  assert.equal(answer.exhausted, expected.length < k)
  assert.equal(results.length, Math.min(k, expected.length))
  assert.equal(new Set(results.map(({ id }) => id)).size, results.length)
  for (const [i, { id, version, score }] of results.entries()) {
    assert.ok(ids.has(id), `${id} holds a word of the query`)
    assert.equal(version, index.point(id)?.version)
    assert.ok(i === 0 || score <= (results[i - 1]?.score ?? 0), 'best first')
  }
}
