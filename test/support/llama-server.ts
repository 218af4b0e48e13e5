/**
 * A real `llama-server` of llama.cpp with a tiny model, killed and started again at will.
 *
 * It is Debian's, unpacked into the user's cache and started by the loader of its own C library, or
 * one that is named. It listens on loopback alone, always on the same port. A process that is killed
 * takes it along.
 */

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { glob, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { debianPackages } from './debian-packages.ts'
import { freePort } from './free-port.ts'
import { TINY_CONTEXT, tinyGguf } from './tiny-gguf.ts'

/** What starts it, but for its own arguments. */
export interface LlamaCommand {
  readonly program: string
  readonly args: readonly string[]
  /** Where it looks for the code for this CPU. */
  readonly cwd?: string
}

const DEBIAN = { name: 'llama', packages: ['llama.cpp-tools'], program: 'usr/bin/llama-server' }

/** Tokens of a text that it computes at most; above it refuses otherwise than above the context. */
export const LLAMA_UBATCH = 2 * TINY_CONTEXT

const START_TIMEOUT_MS = 60_000
const LOG_LINES_MAX = 100

/** @param binary null: Debian's. @throws where that cannot be had. */
export async function findLlama(binary: string | null): Promise<LlamaCommand> {
  if (binary !== null) return { program: binary, args: [] }
  const root = await debianPackages(DEBIAN)
  const program = await only(root, 'usr/lib/*/ld-linux*.so.*')
  const cwd = dirname(await only(root, 'usr/lib/*/ggml/*/libggml-cpu-*.so'))
  const lib = dirname(program)
  const server = join(root, DEBIAN.program)
  const paths = `${lib}:${lib}/llama`
  return { program, args: ['--library-path', paths, '--argv0', 'llama-server', server], cwd }
}

async function only(root: string, pattern: string): Promise<string> {
  for await (const path of glob(pattern, { cwd: root })) return join(root, path)
  throw new Error(`the packages under ${root} hold no ${pattern}`)
}

/** What it says of itself: `version: 0.7.0 (build 11669, commit Debian)`. */
export async function llamaVersion({ program, args, cwd }: LlamaCommand): Promise<string> {
  const child = spawn(program, [...args, '--version'], { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  const lines: string[] = []
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on('line', (line) => lines.push(line))
  }
  await once(child, 'close')
  return lines.find((line) => line.startsWith('version')) ?? lines.join(' ')
}

export class LlamaServer {
  readonly url: string
  readonly #command: LlamaCommand
  readonly #args: readonly string[]
  #running: { readonly child: ChildProcess; readonly watchdog: ChildProcess } | null = null

  private constructor(command: LlamaCommand, port: number, model: string) {
    this.url = `http://127.0.0.1:${port}`
    this.#command = command
    this.#args = [
      ...['--model', model, '--embedding', '--pooling', 'mean'],
      ...['--ubatch-size', String(LLAMA_UBATCH)],
      ...['--host', '127.0.0.1', '--port', String(port), '--threads', '1', '--no-webui'],
    ]
  }

  /** @param options `seed`: of the weights. `folder`: holds the model. */
  static async start(
    command: LlamaCommand,
    options: { readonly folder: string; readonly seed: number },
  ): Promise<LlamaServer> {
    const model = join(options.folder, 'tiny.gguf')
    await writeFile(model, tinyGguf(options.seed))
    const server = new LlamaServer(command, await freePort(), model)
    await server.start()
    return server
  }

  /** Resolves when it serves; does nothing where it was started. */
  async start(): Promise<void> {
    if (this.#running !== null) return
    const { program, args, cwd } = this.#command
    const child = spawn(program, [...args, ...this.#args], {
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const log: string[] = []
    for (const input of [child.stdout, child.stderr]) {
      createInterface({ input }).on('line', (line) => {
        log.push(line)
        if (log.length > LOG_LINES_MAX) log.shift()
      })
    }
    await once(child, 'spawn')
    this.#running = { child, watchdog: startWatchdog(child) }
    const deadline = Date.now() + START_TIMEOUT_MS
    while (!(await this.#isHealthy())) {
      const hasEnded = child.exitCode !== null || child.signalCode !== null
      if (hasEnded || Date.now() > deadline) {
        await this.kill()
        throw new Error(`llama-server does not serve\n${log.join('\n')}`)
      }
      await sleep(25)
    }
  }

  /** SIGKILL, and waits until the process is gone. */
  async kill(): Promise<void> {
    if (this.#running === null) return
    const { child, watchdog } = this.#running
    this.#running = null
    // Before its process is gone: the id may be another's then.
    watchdog.kill('SIGKILL')
    watchdog.stdin?.destroy()
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }

  async #isHealthy(): Promise<boolean> {
    const response = await fetch(`${this.url}/health`).catch(() => null)
    await response?.body?.cancel()
    return response?.ok ?? false
  }
}

/** Kills it when this process is gone: its end of the pipe closes then, however it ends. */
function startWatchdog({ pid }: ChildProcess): ChildProcess {
  const watchdog = spawn('bash', ['-c', 'read -r || kill -9 "$0"', String(pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  watchdog.unref()
  return watchdog
}
