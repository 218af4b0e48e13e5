/**
 * One shell that runs the blocks of a document one after the other, as a reader does.
 *
 * What a block sets is there in the next. A line that fails ends the shell, and the block that it stood
 * in fails with what was printed. Only the address of the service is replaced, and what the caller names.
 */

import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { checkOutput, showsRefusal, type Fence } from './shell-blocks.ts'

const DOCUMENTED_ADDRESS = 'http://127.0.0.1:8600'
/** On a line of its own after the output of each block. */
const END = '-- the block ends here --'
const WITHIN_MS = 480_000
const OUTPUT_SHOWN = 4000

export interface ShellSessionOptions {
  /** For the blocks themselves, and what they make with `mktemp`. */
  readonly folder: string
  /** Where it is to run; without it here. */
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** What stands in the document, and what is run instead. */
  readonly replace?: readonly (readonly [string, string])[]
}

export class ShellSession {
  readonly #shell: ChildProcessWithoutNullStreams
  readonly #options: ShellSessionOptions
  #output = ''
  #blocks = 0

  constructor(options: ShellSessionOptions) {
    this.#options = options
    const path = [dirname(process.execPath), process.env['PATH'] ?? ''].join(delimiter)
    this.#shell = spawn('bash', ['-euo', 'pipefail'], {
      ...(options.cwd !== undefined && { cwd: options.cwd }),
      env: { PATH: path, HOME: options.folder, TMPDIR: options.folder, ...options.env },
    })
    this.#shell.stdin.on('error', () => undefined)
    for (const stream of [this.#shell.stdout, this.#shell.stderr]) {
      stream.setEncoding('utf8')
      stream.on('data', (text: string) => (this.#output += text))
    }
  }

  /** Of the shell, and with its descendants of what it runs. */
  get pid(): number {
    return this.#shell.pid ?? 0
  }

  /**
   * Runs a block to its end and compares what it printed with what it says.
   *
   * @param url of the service that listens at the documented address.
   * @returns what it printed.
   */
  async run(block: Fence, url: string): Promise<string> {
    this.#blocks += 1
    const file = join(this.#options.folder, `block-${this.#blocks}.sh`)
    await writeFile(file, this.#runnable(block.text, url))
    this.#output = ''
    this.#shell.stdin.write(`. ${file} </dev/null\necho; echo '${END}'\n`)
    const output = await this.#toEnd(block)
    checkOutput(block, output)
    return output
  }

  /** The shell ends, and with it what it runs in the foreground. */
  async close(): Promise<void> {
    if (this.#shell.exitCode !== null || this.#shell.signalCode !== null) return
    const gone = once(this.#shell, 'close')
    this.#shell.stdin.end()
    this.#shell.kill('SIGTERM')
    await gone
  }

  #runnable(text: string, url: string): string {
    let here = text.replaceAll(DOCUMENTED_ADDRESS, url)
    for (const [from, to] of this.#options.replace ?? []) here = here.replaceAll(from, to)
    return showsRefusal(text) ? here : here.replaceAll('curl -s', 'curl -s --fail-with-body')
  }

  async #toEnd({ file, line, text }: Fence): Promise<string> {
    const told = (): string => `${file}:${line}\n${text}\n${this.#output.slice(-OUTPUT_SHOWN)}`
    const mark = `\n${END}\n`
    await new Promise<void>((resolve, reject) => {
      const finish = (error: Error | null): void => {
        clearTimeout(timer)
        this.#shell.stdout.off('data', look)
        this.#shell.off('close', ended)
        if (error === null) resolve()
        else reject(error)
      }
      const look = (): void => {
        if (this.#output.includes(mark)) finish(null)
      }
      const ended = (code: number | null): void => {
        finish(new Error(`The shell ended with ${String(code)} in ${told()}`))
      }
      const timer = setTimeout(() => {
        finish(new Error(`After ${WITHIN_MS} ms the shell is still in ${told()}`))
      }, WITHIN_MS)
      this.#shell.stdout.on('data', look)
      this.#shell.once('close', ended)
    })
    return this.#output.slice(0, this.#output.indexOf(mark))
  }
}
