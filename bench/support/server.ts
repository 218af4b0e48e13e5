/**
 * The service under test: started as `npm start` starts it, on a data folder of its own.
 *
 * Its log goes to a file and not to a pipe: reading one would cost the machine time that is
 * measured. Only the process that was started here is ever signalled.
 */

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import description from '../../package.json' with { type: 'json' }

const ROOT = join(import.meta.dirname, '..', '..')
/** What `npm start` gives to Node. */
const START = description.scripts.start.split(' ').slice(1)
const LISTEN_WITHIN_MS = 60_000
const LOG_POLL_MS = 2
const ANSWER_POLL_MS = 10
const STATS_POLL_MS = 50

export interface IndexStats {
  readonly live_points: number
  readonly rows: number
  readonly delta_points: number
  readonly graph_elements: number
  readonly memory_bytes: number
  readonly raw_bytes: number
  readonly payload_bytes: number
  readonly insert_rate: number
}

export interface ServerOptions {
  /** Where profiles of all its processes are written at their end. */
  readonly profile?: string | null
  readonly env?: Readonly<Record<string, string>>
}

export class BenchServer {
  readonly url: string
  readonly pid: number
  /** `performance.now()` when the process was started, and when its address was in the log. */
  readonly startedMs: number
  readonly listeningMs: number
  readonly #child: ChildProcess
  readonly #logFile: string

  private constructor(
    child: ChildProcess,
    at: {
      readonly url: string
      readonly pid: number
      readonly startedMs: number
      readonly logFile: string
    },
  ) {
    this.#child = child
    this.url = at.url
    this.pid = at.pid
    this.startedMs = at.startedMs
    this.listeningMs = performance.now()
    this.#logFile = at.logFile
  }

  /** Starts it on the data folder `root` and waits until it listens. */
  static async start(root: string, options: ServerOptions = {}): Promise<BenchServer> {
    const logFile = join(root, `server-${Date.now()}.log`)
    const log = openSync(logFile, 'a')
    const startedMs = performance.now()
    const child = spawn(process.execPath, START, {
      cwd: ROOT,
      env: {
        PATH: process.env['PATH'],
        VECTORD_STORAGE_ROOT: join(root, 'data'),
        VECTORD_SERVER_PORT: '0',
        ...(typeof options.profile === 'string' && {
          NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${options.profile}`,
        }),
        ...options.env,
      },
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    atExit(() => child.kill('SIGKILL'))
    await once(child, 'spawn')
    for (;;) {
      const text = readFileSync(logFile, 'utf8')
      const url = /"address":"(http:[^"]+)"/.exec(text)?.[1]
      if (url !== undefined && child.pid !== undefined) {
        return new BenchServer(child, { url, pid: child.pid, startedMs, logFile })
      }
      const late = performance.now() - startedMs > LISTEN_WITHIN_MS
      if (late || child.exitCode !== null) {
        child.kill('SIGKILL')
        throw new Error(`vectord does not listen (exit ${String(child.exitCode)})\n${text}`)
      }
      await sleep(LOG_POLL_MS)
    }
  }

  /** The parsed body of a 2xx. @throws for every other status. */
  async call(method: string, path: string, body?: object): Promise<unknown> {
    const response = await this.#fetch(method, path, body)
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return text === '' ? null : JSON.parse(text)
  }

  async status(method: string, path: string, body?: object): Promise<number> {
    const response = await this.#fetch(method, path, body)
    await response.arrayBuffer()
    return response.status
  }

  #fetch(method: string, path: string, body?: object): Promise<Response> {
    return fetch(new URL(path, this.url), {
      method,
      ...(body !== undefined && {
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json' },
      }),
    })
  }

  /** Milliseconds since the start of the process until `path` answers 200. */
  async answersAfterMs(method: string, path: string, body?: object): Promise<number> {
    const deadline = performance.now() + 600_000
    while ((await this.status(method, path, body)) !== 200) {
      if (performance.now() > deadline) throw new Error(`${path} does not answer\n${this.log()}`)
      await sleep(ANSWER_POLL_MS)
    }
    return performance.now() - this.startedMs
  }

  async stats(index: string): Promise<IndexStats> {
    const info = (await this.call('GET', `/vectors/indexes/${index}`)) as {
      stats: IndexStats | null
    }
    if (info.stats === null) throw new Error(`${index} has no stats`)
    return info.stats
  }

  /** Waits until `points` are there and none of them waits for the graph. */
  async indexed(index: string, points: number): Promise<IndexStats> {
    const deadline = performance.now() + 900_000
    for (;;) {
      const stats = await this.stats(index)
      if (stats.live_points === points && stats.delta_points === 0) return stats
      if (performance.now() > deadline) throw new Error(`${index}: ${JSON.stringify(stats)}`)
      await sleep(STATS_POLL_MS)
    }
  }

  log(): string {
    return readFileSync(this.#logFile, 'utf8')
  }

  /** SIGTERM: it drains and makes its last checkpoints. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM')
    if (this.#child.exitCode !== 0) {
      throw new Error(`vectord ended with ${String(this.#child.exitCode)}\n${this.log()}`)
    }
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.kill(signal)
    await exited
  }
}

/** Runs `work` with an empty folder on disk that is removed afterwards. */
export async function withFolder<T>(work: (root: string) => Promise<T>): Promise<T> {
  const root = mkdtempSync(join(tmpdir(), 'vectord-bench-'))
  const remove = (): void => rmSync(root, { recursive: true, force: true, maxRetries: 5 })
  atExit(remove)
  try {
    return await work(root)
  } finally {
    remove()
  }
}

/** A bench that is interrupted leaves no server and no folder behind. Latest first. */
function atExit(undo: () => void): void {
  if (undos.length === 0) {
    process.once('SIGINT', () => process.exit(130))
    process.once('SIGTERM', () => process.exit(143))
    process.once('exit', () => {
      for (const step of undos.reverse()) step()
    })
  }
  undos.push(undo)
}

const undos: (() => void)[] = []
