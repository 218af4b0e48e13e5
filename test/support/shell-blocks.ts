/**
 * The shell blocks of a document, as they stand between their fences.
 *
 *     ```sh                      is run as it is written
 *     ```sh no-run needs Docker  is not, and says why
 *
 * A block may say in comments what comes back; each must stand in what the block prints:
 *
 *     # → any words, `"what":"must be there"`
 *
 * A block that expects a `"code":` shows a refusal; every other one must not answer an error.
 */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'

export interface Fence {
  readonly file: string
  /** Of the line that opens it, from 1. */
  readonly line: number
  /** The heading that it stands under. */
  readonly section: string
  /** What stands behind the three backticks. */
  readonly info: string
  readonly text: string
}

export interface ShellBlock extends Fence {
  /** Why it is not run; null where it is. */
  readonly notRun: string | null
}

const NOT_RUN = 'no-run'

/** Everything between fences, whatever it is. @throws where a fence is never closed. */
export function readFences(file: string): Fence[] {
  const fences: Fence[] = []
  let section = ''
  let open: { readonly line: number; readonly info: string; readonly text: string[] } | null = null
  for (const [i, line] of readFileSync(file, 'utf8').split('\n').entries()) {
    if (open === null) {
      section = /^#+ (.*)$/.exec(line)?.[1] ?? section
      const [, info] = /^\s*```(.*)$/.exec(line) ?? []
      if (info !== undefined) open = { line: i + 1, info: info.trim(), text: [] }
    } else if (/^\s*```\s*$/.test(line)) {
      const text = `${open.text.join('\n')}\n`
      fences.push({ file, line: open.line, section, info: open.info, text })
      open = null
    } else {
      open.text.push(line)
    }
  }
  assert.equal(open, null, `${file}: the fence of line ${open?.line} is not closed`)
  return fences
}

/** @throws for a fence of a shell that is neither plain nor says why it is not run. */
export function readShellBlocks(file: string): ShellBlock[] {
  return readFences(file).flatMap((fence): ShellBlock[] => {
    const [language = '', word, ...reason] = fence.info.split(/\s+/)
    if (!/^(sh|bash|zsh|shell|console)$/.test(language)) return []
    const at = `${file}:${fence.line}`
    assert.equal(language, 'sh', `${at}: blocks that are run are fenced as sh`)
    if (word === undefined) return [{ ...fence, notRun: null }]
    assert.ok(word === NOT_RUN && reason.length > 0, `${at}: neither plain nor ${NOT_RUN} with why`)
    return [{ ...fence, notRun: reason.join(' ') }]
  })
}

/** What the comments of a block say that it prints. */
export function expectedOf(text: string): string[] {
  return [...text.matchAll(/^\s*# → .*?`([^`]+)`/gm)].map(([, expected = '']) => expected)
}

/** Whether an error is what a block is to show. */
export function showsRefusal(text: string): boolean {
  return expectedOf(text).some((expected) => expected.startsWith('"code":'))
}

export function checkOutput({ file, line, text }: Fence, output: string): void {
  const at = `${file}:${line}\n${text}`
  if (!showsRefusal(text)) assert.doesNotMatch(output, /"error":\{/, at)
  for (const expected of expectedOf(text)) {
    assert.ok(output.includes(expected), `${at}\nlacks ${expected} in the answer\n${output}`)
  }
}
