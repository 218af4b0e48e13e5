/**
 * A real S3 server for tests: Ceph's gateway from Debian's packages, started without root.
 *
 * It is looked for under `VECTORD_TEST_CEPH` (a folder with the unpacked packages), else it is
 * fetched once into the user's cache. One server serves a test process: the first `startS3Server`
 * starts it, the last `close` stops it. A test process that is killed takes it along.
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { access, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { debianPackages } from './debian-packages.ts'
import { freePort } from './free-port.ts'

const run = promisify(execFile)

const SERVER_SCRIPT = join(import.meta.dirname, 's3-server.sh')

const START_TRIES = 3
const START_TIMEOUT_MS = 120_000

const CEPH = {
  name: 'ceph',
  packages: ['radosgw', 'ceph-mon', 'ceph-osd', 'ceph-common'],
  program: 'usr/bin/radosgw',
}

/** An account of a server that lives for one test run and listens on loopback. */
const ACCOUNT = { accessKeyId: 'VECTORDTESTKEY', secretAccessKey: 'vectordtestsecret' }

export interface S3Server {
  readonly endpoint: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  createBucket(name: string): Promise<void>
  close(): Promise<void>
}

let shared: { users: number; server: Promise<S3Server | null> } | null = null

/**
 * The server of this test process, or null where none can be had; then the reason was printed, and
 * the suite that asked is skipped. With `VECTORD_TEST_REQUIRE_SERVICES=1` this throws instead.
 */
export async function startS3Server(): Promise<S3Server | null> {
  shared ??= { users: 0, server: start() }
  const current = shared
  current.users += 1
  const server = await current.server
  if (server === null) return null
  let closed = false
  return {
    ...server,
    async close() {
      if (closed) return
      closed = true
      current.users -= 1
      if (current.users > 0) return
      shared = null
      await server.close()
    },
  }
}

async function start(): Promise<S3Server | null> {
  try {
    return await startWithin(await findCeph())
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    if (process.env['VECTORD_TEST_REQUIRE_SERVICES'] === '1') throw error
    process.stderr.write(`SKIPPED: the S3 cases of ${basename(process.argv[1] ?? '')}: ${reason}\n`)
    return null
  }
}

async function findCeph(): Promise<string> {
  const given = process.env['VECTORD_TEST_CEPH']
  if (given !== undefined && given !== '') {
    await access(join(given, CEPH.program))
    return given
  }
  return debianPackages(CEPH)
}

async function startWithin(ceph: string): Promise<S3Server> {
  for (let tries = 1; ; tries += 1) {
    const folder = await mkdtemp(join(tmpdir(), 'vectord-s3-'))
    const stop = async (): Promise<void> => {
      await run('bash', [SERVER_SCRIPT, 'down', folder])
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    }
    try {
      return await startIn(folder, ceph, stop)
    } catch (error) {
      await stop()
      // A port that was free may be taken by now.
      if (tries === START_TRIES) throw error
    }
  }
}

async function startIn(folder: string, ceph: string, stop: () => Promise<void>): Promise<S3Server> {
  const [monPort, s3Port] = [await freePort(), await freePort()]
  const watchdog = startWatchdog(folder)
  const account = {
    VECTORD_TEST_S3_KEY: ACCOUNT.accessKeyId,
    VECTORD_TEST_S3_SECRET: ACCOUNT.secretAccessKey,
  }
  const args = [SERVER_SCRIPT, 'up', ceph, folder, String(monPort), String(s3Port)]
  await run('bash', args, { timeout: START_TIMEOUT_MS, env: { ...process.env, ...account } })
  const endpoint = `http://127.0.0.1:${s3Port}`
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: ACCOUNT,
    maxAttempts: 10,
  })
  await client.send(new CreateBucketCommand({ Bucket: `ready-${randomUUID()}` }))
  return {
    endpoint,
    ...ACCOUNT,
    createBucket: async (name) => {
      await client.send(new CreateBucketCommand({ Bucket: name }))
    },
    close: async () => {
      client.destroy()
      await stop()
      watchdog.kill()
    },
  }
}

/** Stops the server when this process is gone: its end of the pipe closes then, however it ends. */
function startWatchdog(folder: string): ChildProcess {
  const script = `cat >/dev/null; bash "$0" down "$1"; rm -rf "$1"`
  const watchdog = spawn('bash', ['-c', script, SERVER_SCRIPT, folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  watchdog.unref()
  return watchdog
}
