/**
 * A real vectord process for end-to-end tests: started as the README says, killed without mercy.
 *
 * It listens on a free loopback port and keeps its data in a folder of the test. Only the process
 * that was started here is ever signalled.
 */

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import description from '../../package.json' with { type: 'json' }

/** What `npm start` gives to Node. */
const START = description.scripts.start.split(' ').slice(1)

export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The parsed body; undefined where it is not JSON. */
  readonly body: unknown
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>
  /** Milliseconds until it must listen. */
  readonly startWithinMs?: number
}

export class Service {
  readonly url: string
  readonly pid: number
  /** Its storage root. */
  readonly root: string
  /** The last lines of its log, for messages of failed tests. */
  readonly log: readonly string[]
  readonly #child: ChildProcess

  constructor(
    child: ChildProcess,
    at: { readonly url: string; readonly root: string },
    log: readonly string[],
  ) {
    this.#child = child
    this.pid = child.pid ?? 0
    this.url = at.url
    this.root = at.root
    this.log = log
  }

  async request(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Reply> {
    const isRaw = typeof body === 'string' || body instanceof Uint8Array
    const response = await fetch(new URL(path, this.url), {
      method,
      headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
      ...(body !== undefined && { body: isRaw ? (body as string) : JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, body: parse(text) }
  }

  /** The body of an answer that says success. @throws where it does not. */
  async must(method: string, path: string, body?: unknown): Promise<unknown> {
    const reply = await this.request(method, path, body)
    if (reply.status < 300) return reply.body
    throw new Error(`${method} ${path}: ${reply.status} ${reply.text}`)
  }

  /** SIGKILL, and waits until the process is gone. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** SIGTERM: drains and ends by itself. @returns its exit code. */
  stop(): Promise<number | null> {
    return this.#end('SIGTERM')
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, 'exit')
      this.#child.kill(signal)
      await exited
    }
    return this.#child.exitCode
  }

  /** Polls until the answer satisfies `until`; fails after `withinMs`. */
  async eventually(
    path: string,
    until: (reply: Reply) => boolean,
    withinMs = 30_000,
  ): Promise<Reply> {
    const deadline = Date.now() + withinMs
    for (;;) {
      const reply = await this.request('GET', path)
      if (until(reply)) return reply
      if (Date.now() > deadline) {
        throw new Error(`GET ${path} still ${reply.status} ${reply.text}\n${this.log.join('\n')}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
  }

  ready(withinMs = 30_000): Promise<Reply> {
    return this.eventually('/readyz', (reply) => reply.status === 200, withinMs)
  }
}

/** Starts vectord on `root`. @throws where it ends or stays silent before it listens. */
export async function startService(root: string, options: StartOptions = {}): Promise<Service> {
  const child = spawn(process.execPath, START, {
    env: {
      PATH: process.env['PATH'],
      VECTORD_STORAGE_ROOT: root,
      VECTORD_SERVER_PORT: '0',
      // Tests share the machine: a slow one is no overload.
      VECTORD_SERVER_SHED_EVENT_LOOP_DELAY_MS: '0',
      // And a builder that waits for every idle moment of a busy one may never end.
      VECTORD_BUILDERS_NICENESS: '0',
      ...options.env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const log: string[] = []
  const remember = (line: string): void => {
    log.push(line)
    if (log.length > 200) log.shift()
  }
  createInterface({ input: child.stderr }).on('line', remember)
  const url = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`vectord did not listen in time\n${log.join('\n')}`))
    }, options.startWithinMs ?? 30_000)
    createInterface({ input: child.stdout }).on('line', (line) => {
      remember(line)
      const address = /"address":"(http:[^"]+)"/.exec(line)?.[1]
      if (address === undefined) return
      clearTimeout(timer)
      resolve(address)
    })
    child.once('exit', (code) => {
      clearTimeout(timer)
      reject(new Error(`vectord ended with ${String(code)}\n${log.join('\n')}`))
    })
  })
  return new Service(child, { url, root }, log)
}

/** A folder that is removed when the test ends. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'vectord-'))
  t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}

/** Runs `work` in a folder that is gone afterwards. */
export async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'vectord-'))
  try {
    return await work(folder)
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
