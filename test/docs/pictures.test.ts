/** The pictures of docs/tuning.md and its numbers are those of the run that was recorded. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { it } from 'node:test'
import { drawPictures, writeWords } from './pictures.ts'
import { readRecord } from '../support/tour-record.ts'

const record = readRecord()

it('the pictures are what is drawn of the record', () => {
  for (const [name, text] of drawPictures(record)) {
    const stored = readFileSync(`docs/pictures/${name}`, 'utf8')
    assert.equal(stored, text, `${name} is another: npm run docs:pictures`)
  }
})

it('the words about the run are those of the record', () => {
  const text = readFileSync('docs/tuning.md', 'utf8')
  assert.ok(text.includes(`ef ${record.promoted.ef} with a recall of`), 'the promoted one is told')
  assert.equal(text, writeWords(text, record), 'run: npm run docs:pictures')
})

it('a record that says something else draws something else', () => {
  const [first, ...rest] = record.trials
  assert.ok(first !== undefined)
  const curve = first.curve.map((point) => ({ ...point, recall: point.recall - 0.01 }))
  const other = drawPictures({ ...record, trials: [{ ...first, curve }, ...rest] })
  for (const [name, text] of drawPictures(record)) {
    assert.equal(other.get(name) === text, name === 'tried.svg', name)
  }
})
