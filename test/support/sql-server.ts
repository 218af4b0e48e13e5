/**
 * What the real database servers of the tests have in common: they live in a temporary folder, listen
 * on a free port of loopback, and are gone when the test process is, however it ends.
 */

import {
  type ChildProcess,
  type ChildProcessWithoutNullStreams,
  execFile,
  spawn,
} from 'node:child_process'
import { once } from 'node:events'
import { access, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type DebianProgram, debianPackages } from './debian-packages.ts'
import { freePort } from './free-port.ts'

const run = promisify(execFile)

const START_TRIES = 3
const START_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 10_000
const LOG_LINES_MAX = 100

/** An account of a server that lives for one test run and listens on loopback. */
export const ACCOUNT = { user: 'vectord', password: 'only for:this/test@run' }

export interface SqlServer {
  readonly port: number
  /** Of a database that the account may do everything in. */
  readonly database: string
  /** Where it keeps its data; files of a test may lie beside them. */
  readonly folder: string
  /** Whether it speaks TLS: `folder` holds `ca.pem`, which signed it, and `stranger.pem`, which did not. */
  readonly hasTls: boolean
  /** With the password. @param database left out: the one above. */
  dsn(parameters?: string, database?: string): string
  /** SIGKILL or an immediate shutdown, and waits until it is gone. Does nothing where it is. */
  stop(): Promise<void>
  /** Serves on the same port with the same data. */
  start(): Promise<void>
  /** Stops it and deletes its data. */
  close(): Promise<void>
}

export interface Place {
  /** Holds the unpacked packages as if it were `/`. */
  readonly root: string
  /** Of this server alone. */
  readonly folder: string
  readonly port: number
  readonly hasTls: boolean
}

export interface SqlServerProgram {
  readonly scheme: string
  readonly debian: DebianProgram
  /** Names a folder with the unpacked packages, if they are not to be fetched. */
  readonly variable: string
  /** Makes the data folder and the account. */
  prepare(place: Place): Promise<void>
  command(place: Place): Command | Promise<Command>
  /** What it logs when it serves. */
  readonly readyLine: RegExp
  readonly stopSignal: NodeJS.Signals
}

export interface Command {
  readonly program: string
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
  /** Of the user and the group it runs as; left out: those of this process. */
  readonly uid?: number
  readonly gid?: number
  readonly input?: string
}

/**
 * A server, or null where none can be had; then the reason was printed, and the suite that asked is
 * skipped. With `VECTORD_TEST_REQUIRE_SERVICES=1` this throws instead.
 */
export async function startSqlServer(program: SqlServerProgram): Promise<SqlServer | null> {
  try {
    return await start(program, await findRoot(program))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    if (process.env['VECTORD_TEST_REQUIRE_SERVICES'] === '1') throw error
    const file = basename(process.argv[1] ?? '')
    process.stderr.write(`SKIPPED: the ${program.scheme} cases of ${file}: ${reason}\n`)
    return null
  }
}

async function start(program: SqlServerProgram, root: string): Promise<SqlServer> {
  for (let tries = 1; ; tries += 1) {
    const folder = await mkdtemp(join(tmpdir(), `vectord-${program.scheme}-`))
    const hasTls = await makeCertificates(folder)
    const place = { root, folder, port: await freePort(), hasTls }
    const server = new LoopbackServer(program, place)
    try {
      await program.prepare(place)
      await server.start()
      return server
    } catch (error) {
      await server.close()
      // A port that was free may be taken by now.
      if (tries === START_TRIES) throw error
    }
  }
}

async function findRoot({ debian, variable }: SqlServerProgram): Promise<string> {
  const given = process.env[variable]
  if (given === undefined || given === '') return debianPackages(debian)
  await access(given)
  return given
}

/**
 * A certificate for `localhost` and the authority that signed it, in `folder`: `cert.pem`, `key.pem` and
 * `ca.pem`; another authority, which signed nothing, in `stranger.pem`.
 *
 * @returns false where the machine has no `openssl`.
 */
async function makeCertificates(folder: string): Promise<boolean> {
  const path = (name: string): string => join(folder, `${name}.pem`)
  const openssl = (...args: readonly string[]): Promise<unknown> => run('openssl', args)
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const authority = (name: string, key: string): Promise<unknown> =>
    openssl(
      ...['req', '-x509', ...newKey, '-days', '2', '-subj', `/CN=${name} of the tests`],
      ...['-keyout', path(key), '-out', path(name)],
    )
  try {
    await authority('ca', 'ca-key')
    await authority('stranger', 'stranger-key')
    await openssl(
      ...['req', '-x509', ...newKey, '-days', '2', '-subj', '/CN=localhost'],
      ...['-addext', 'subjectAltName=DNS:localhost', '-addext', 'basicConstraints=CA:FALSE'],
      ...['-CA', path('ca'), '-CAkey', path('ca-key')],
      ...['-keyout', path('key'), '-out', path('cert')],
    )
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false
    throw error
  }
}

/** Runs a command to its end. @throws with what it printed where it fails. */
export async function runCommand(command: Command): Promise<void> {
  const { child, log } = launch(command)
  child.stdin.end(command.input ?? '')
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0)
    throw new Error(`${command.program} ended with ${String(code)}\n${log.join('\n')}`)
}

function launch({ program, args, env, ...user }: Command): {
  readonly child: ChildProcessWithoutNullStreams
  readonly log: readonly string[]
} {
  const ids = user.uid === undefined ? {} : { uid: user.uid, gid: user.gid ?? user.uid }
  const child = spawn(program, [...args], { ...ids, env, cwd: '/', stdio: 'pipe' })
  const log: string[] = []
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on('line', (line) => {
      log.push(line)
      if (log.length > LOG_LINES_MAX) log.shift()
    })
  }
  // It may be gone before it has read its input; its exit status says what was wrong.
  child.stdin.on('error', () => undefined)
  return { child, log }
}

class LoopbackServer implements SqlServer {
  readonly port: number
  readonly folder: string
  readonly hasTls: boolean
  readonly database = 'shop'
  readonly #program: SqlServerProgram
  readonly #place: Place
  #running: { readonly child: ChildProcess; readonly watchdog: ChildProcess } | null = null

  constructor(program: SqlServerProgram, place: Place) {
    this.#program = program
    this.#place = place
    this.hasTls = place.hasTls
    this.port = place.port
    this.folder = place.folder
  }

  dsn(parameters = '', database = this.database): string {
    const [user, password] = [ACCOUNT.user, encodeURIComponent(ACCOUNT.password)]
    const at = `127.0.0.1:${this.port}/${encodeURIComponent(database)}`
    return `${this.#program.scheme}://${user}:${password}@${at}${parameters}`
  }

  async start(): Promise<void> {
    if (this.#running !== null) return
    const { scheme, readyLine, stopSignal } = this.#program
    const { child, log } = launch(await this.#program.command(this.#place))
    await once(child, 'spawn')
    this.#running = { child, watchdog: startWatchdog(child, stopSignal, this.folder) }
    const deadline = Date.now() + START_TIMEOUT_MS
    while (!log.some((line) => readyLine.test(line))) {
      if (hasEnded(child) || Date.now() > deadline) {
        await this.stop()
        throw new Error(`${scheme} does not serve\n${log.join('\n')}`)
      }
      await sleep(25)
    }
  }

  async stop(): Promise<void> {
    if (this.#running === null) return
    const { child, watchdog } = this.#running
    this.#running = null
    // Before its process is gone: the id may be another's then.
    watchdog.kill('SIGKILL')
    watchdog.stdin?.destroy()
    if (hasEnded(child)) return
    const exited = once(child, 'exit')
    child.kill(this.#program.stopSignal)
    const late = sleep(STOP_TIMEOUT_MS, 'late' as const, { ref: false })
    if ((await Promise.race([exited, late])) === 'late') child.kill('SIGKILL')
    await exited
  }

  async close(): Promise<void> {
    await this.stop()
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

/** Stops it when this process is gone: its end of the pipe closes then, however it ends. */
function startWatchdog(child: ChildProcess, signal: string, folder: string): ChildProcess {
  const script = 'read -r || { kill -s "$1" "$0"; sleep 1; rm -rf "$2"; }'
  const args = ['-c', script, String(child.pid), signal.replace('SIG', ''), folder]
  const watchdog = spawn('bash', args, { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  watchdog.unref()
  return watchdog
}
