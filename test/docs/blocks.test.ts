/**
 * What the documents show can be run, or says why not.
 *
 * A block that is not run is counted here: one that is added to a document is a choice, and one that
 * can be run after all takes its number down.
 */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { parse } from 'smol-toml'
import { KEYS } from '../../src/config/schema.ts'
import { DOCUMENTS } from '../support/documents.ts'
import { checkOutput, expectedOf, readFences, readShellBlocks } from '../support/shell-blocks.ts'

/** How many blocks of each document are not run. */
const NOT_RUN: Readonly<Record<string, number>> = {
  'README.md': 4,
  'docs/cli.md': 1,
  'docs/deploy.md': 3,
  'docs/embedders.md': 2,
  'docs/getting-started.md': 1,
}

it('every shell block is run, or says why not and is counted', (t) => {
  const blocks = DOCUMENTS.flatMap(readShellBlocks)
  const idle = blocks.filter(({ notRun }) => notRun !== null)
  for (const { file, line, notRun } of idle) t.diagnostic(`${file}:${line} ${String(notRun)}`)
  t.diagnostic(`${blocks.length - idle.length} blocks are run, ${idle.length} are not`)
  const counts = Object.entries(Object.groupBy(idle, ({ file }) => file)).map(
    ([file, of]) => [file, of?.length ?? 0] as const,
  )
  assert.deepEqual(Object.fromEntries(counts), NOT_RUN)
})

it('a document that has curl lines to run says what comes back', () => {
  const silent = DOCUMENTS.filter((file) => {
    const run = readShellBlocks(file).filter(({ notRun }) => notRun === null)
    return run.length > 0 && run.flatMap(({ text }) => expectedOf(text)).length === 0
  })
  assert.deepEqual(silent, [])
})

it('keys of the configuration that a document shows exist', () => {
  const known = new Set(KEYS.map(({ section, name }) => `${section}.${name}`))
  const shown = DOCUMENTS.flatMap((file) =>
    readFences(file)
      .filter(({ info }) => info === 'toml')
      .flatMap(({ text }) => keysOf(parse(text))),
  )
  assert.ok(shown.length > 5, 'documents show keys')
  assert.deepEqual(
    shown.filter((key) => !known.has(key)),
    [],
  )
})

function keysOf(table: object, path: readonly string[] = []): string[] {
  return Object.entries(table).flatMap(([name, value]: [string, unknown]) => {
    const isTable = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isTable ? keysOf(value, [...path, name]) : [[...path, name].join('.')]
  })
}

function documentOf(t: TestContext, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'vectord-blocks-'))
  t.after(() => {
    rmSync(folder, { recursive: true })
  })
  const file = join(folder, 'document.md')
  writeFileSync(file, text)
  return file
}

it('a block of another shell, or one that is not run without why, is refused', (t) => {
  for (const info of ['bash', 'console', 'sh session', 'sh no-run']) {
    const file = documentOf(t, `\`\`\`${info}\necho\n\`\`\`\n`)
    assert.throws(() => readShellBlocks(file), /document\.md:1/, info)
  }
  const open = documentOf(t, '```sh\necho\n')
  assert.throws(() => readShellBlocks(open), /is not closed/)
  const file = documentOf(t, '```sh\necho 1\n```\n\n```sh no-run for a reason\necho 2\n```\n')
  assert.deepEqual(
    readShellBlocks(file).map(({ line, text, notRun }) => [line, text, notRun]),
    [
      [1, 'echo 1\n', null],
      [5, 'echo 2\n', 'for a reason'],
    ],
  )
})

it('an answer that lacks what the block says, or is an error, is found', () => {
  const text = 'curl\n# → some, `"a":1` and more\n'
  const block = { file: 'a.md', line: 3, section: 'A', info: 'sh', text }
  checkOutput(block, '{"b":2,"a":1}')
  assert.throws(() => {
    checkOutput(block, '{"a":2}')
  }, /a\.md:3[^]*lacks "a":1/)
  assert.throws(() => {
    checkOutput(block, '{"a":1,"error":{"code":"x"}}')
  }, /a\.md:3/)
  const refusal = { ...block, text: 'curl\n# → `"code":"x"`\n' }
  checkOutput(refusal, '{"error":{"code":"x"}}')
  assert.throws(() => {
    checkOutput(refusal, '{"error":{"code":"y"}}')
  }, /lacks "code":"x"/)
})
