/**
 * Runs the shell blocks of a document as they are written, against a service of a test.
 *
 * All blocks share one shell, so that a variable of one is there in the next. The address is the only
 * thing that is replaced. Each line has to succeed, and each answer must hold what its comment says:
 *
 *     # → any words, `"what":"must be there"`
 *
 * A block that expects a `"code":` shows a refusal; every other one must not answer an error.
 */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

const DOCUMENTED_ADDRESS = 'http://127.0.0.1:8600'
/** On a line of its own after the output of each block. */
const END = '-- the block ends here --'
const WITHIN_MS = 480_000
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024

/** The blocks of a Markdown file that open with ```` ```sh {word} ````. */
export async function readShellBlocks(file: string, word: string): Promise<string[]> {
  const fence = new RegExp(`^\`\`\`sh ${word}\\n([\\s\\S]*?)^\`\`\`$`, 'gm')
  return [...(await readFile(file, 'utf8')).matchAll(fence)].map((match) => match[1] ?? '')
}

export async function runShellBlocks(blocks: readonly string[], url: string): Promise<void> {
  const script = blocks.map((block) => `${runnable(block, url)}\necho; echo '${END}'\n`).join('')
  const limits = { timeout: WITHIN_MS, maxBuffer: OUTPUT_BYTES_MAX }
  const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', script], limits).catch(
    (error: unknown) => {
      throw new Error(`The shell ${endOf(error)} after\n${outputOf(error)}`)
    },
  )
  const outputs = stdout.split(`\n${END}\n`)
  for (const [i, block] of blocks.entries()) checkOutput(block, outputs[i] ?? '')
}

function runnable(block: string, url: string): string {
  const here = block.replaceAll(DOCUMENTED_ADDRESS, url)
  return showsRefusal(block) ? here : here.replaceAll('curl -s', 'curl -s --fail-with-body')
}

function checkOutput(block: string, output: string): void {
  if (!showsRefusal(block)) assert.doesNotMatch(output, /"error":\{/, block)
  for (const [, expected = ''] of block.matchAll(/^# → .*?`([^`]+)`/gm)) {
    assert.ok(output.includes(expected), `${block}\nanswered ${output}`)
  }
}

function showsRefusal(block: string): boolean {
  return /^# → .*?`"code":/m.test(block)
}

/** The cause itself is no good to a reader: it repeats the script and all output. */
function endOf(error: unknown): string {
  if (!(error instanceof Error && 'killed' in error && 'code' in error)) return String(error)
  return error.killed === true ? `was too slow (${WITHIN_MS} ms)` : `failed (${String(error.code)})`
}

function outputOf(error: unknown): string {
  const stdout = error instanceof Error && 'stdout' in error ? String(error.stdout) : ''
  return stdout.slice(-4000)
}
