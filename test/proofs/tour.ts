/**
 * From a clone to a promoted configuration on the dashboard, within ten minutes of machine time:
 *
 *     npm run proof:tour -- --picture tour.png --record
 *
 * How: what is committed is cloned into a temporary folder, and docs/getting-started.md of the clone is
 * followed line by line, with `npm ci`, `npm start` and all of its data. `--picture` says where the
 * page goes, `--record` writes docs/pictures/tour.json, which the pictures of docs/tuning.md are drawn from.
 */

import assert from 'node:assert/strict'
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { availableParallelism, cpus } from 'node:os'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import { inspect, parseArgs, promisify } from 'node:util'
import { treeCpuMs } from '../../bench/support/process-cpu.ts'
import { startBrowser } from '../support/browser.ts'
import { freePort } from '../support/free-port.ts'
import { inFolder } from '../support/service.ts'
import { ShellSession } from '../support/shell-session.ts'
import { lookAtPages, runTour, TOUR_INDEX, tourBlocks } from '../support/tour.ts'
import {
  RECORD_FILE,
  recordTrials,
  type RecordedPoint,
  type RecordedTrial,
  type TourRecord,
} from '../support/tour-record.ts'

const run = promisify(execFile)

const CPU_MAX_MS = 600_000
const START = 'npm ci && npm start'
const GOAL = 0.95
/** What the server takes for the ten neighbours of a measured query. */
const DEFAULT_EF = 80
const DATA = 'MNIST, 10,000 × 784, L2, k 10'
const PICTURE_DEFAULT = 'tour.png'
/** On a busy machine a slow event loop is no overload, and a nice builder may never end. */
const SERVICE_ENV = {
  VECTORD_SERVER_SHED_EVENT_LOOP_DELAY_MS: '0',
  VECTORD_BUILDERS_NICENESS: '0',
}

const { values } = parseArgs({
  options: {
    picture: { type: 'string', default: PICTURE_DEFAULT },
    record: { type: 'boolean', default: false },
  },
})
const counts = { passed: 0, failed: 0 }
const print = (line: string): boolean => process.stdout.write(`${line}\n`)

/** One line for each part: what it took of the machine, all processes together. */
async function step(name: string, work: () => Promise<void>): Promise<void> {
  const [startedMs, cpuMs] = [performance.now(), treeCpuMs(process.pid)]
  try {
    await work()
    counts.passed += 1
  } catch (error) {
    counts.failed += 1
    print(`FAILED: ${name}\n${inspect(error)}`)
    throw error
  } finally {
    const wallS = (performance.now() - startedMs) / 1000
    const cpuS = (treeCpuMs(process.pid) - cpuMs) / 1000
    print(
      `${name.padEnd(24)} ${cpuS.toFixed(1).padStart(7)} s CPU ${wallS.toFixed(1).padStart(7)} s`,
    )
  }
}

await inFolder(follow).catch(() => {
  process.exitCode = 1
})
print(`${counts.passed} passed, ${counts.failed} failed`)

async function follow(folder: string): Promise<void> {
  const clone = join(folder, 'vectord')
  const startedMs = treeCpuMs(process.pid)
  await step('clone', async () => {
    await run('git', ['clone', '--quiet', '--no-hardlinks', process.cwd(), clone])
  })
  const env = { PATH: plainPath(), HOME: process.env['HOME'] ?? folder }
  const shell = new ShellSession({ folder, cwd: clone, env })
  const port = String(await freePort())
  const service = { url: `http://127.0.0.1:${port}`, child: null as ChildProcess | null }
  const { start, rest } = tourBlocks()
  try {
    await step(start.section, async () => {
      assert.equal(start.text, `${START}\n`)
      await shell.run({ ...start, text: 'npm ci' }, service.url)
      service.child = await npmStart(clone, { ...env, ...SERVICE_ENV, VECTORD_SERVER_PORT: port })
    })
    await runTour(rest, { shell, url: service.url, step, look: () => look(service.url) })
    const cpuMs = treeCpuMs(process.pid) - startedMs
    await step('within ten minutes', () => {
      assert.ok(cpuMs < CPU_MAX_MS, `it took ${cpuMs / 1000} s of CPU`)
      return Promise.resolve()
    })
    print(`${(cpuMs / 1000).toFixed(0)} s of CPU in all`)
  } finally {
    await shell.close()
    await end(service.child)
  }
}

async function look(url: string): Promise<void> {
  const browser = await startBrowser()
  try {
    await lookAtPages(browser, { url, picture: values.picture })
  } finally {
    await browser.close()
  }
  if (values.record)
    await writeFile(RECORD_FILE, `${JSON.stringify(await recordOf(url), null, 2)}\n`)
}

async function recordOf(url: string): Promise<TourRecord> {
  const must = async (method: string, path: string, body?: object): Promise<unknown> => {
    const headers = { 'content-type': 'application/json' }
    const sent = body === undefined ? {} : { headers, body: JSON.stringify(body) }
    const reply = await fetch(url + path, { method, ...sent })
    assert.equal(reply.status, 200, path)
    return reply.json()
  }
  const trials = await recordTrials({ must }, TOUR_INDEX, GOAL)
  const { current } = (await must('GET', `/vectors/hnsw/promoted/${TOUR_INDEX}`)) as {
    current: { trial_id: string; config: { ef_search: number } }
  }
  const told = await must('GET', `/vectors/agent/decisions/${TOUR_INDEX}?limit=100`)
  const { decisions } = told as { decisions: Decision[] }
  const { trial_id, config } = current
  const recommended = decisions.find(
    (one) => one.verdict === 'recommend' && one.trial_id === trial_id,
  )
  return {
    recorded_at: new Date().toISOString().slice(0, 10),
    machine: `${cpus()[0]?.model ?? 'unknown'}, ${availableParallelism()} cores`,
    ...{ data: DATA, goal: GOAL },
    promoted: { trial_id, ef: config.ef_search, note: recommended?.reason ?? '' },
    trials,
    before: await measureBefore(must),
  }
}

/** The graph of the creation at the ef that it was searched with: a trial stops below that. */
async function measureBefore(must: Must): Promise<RecordedPoint> {
  const config = { m: 16, ef_construction: 200, ef_search: DEFAULT_EF }
  const asked = { index: TOUR_INDEX, eval: `agent-${TOUR_INDEX}`, config }
  const trial = (await must('POST', '/vectors/hnsw/trial?wait=true', asked)) as RecordedTrial
  const point = trial.curve.find(({ ef }) => ef === DEFAULT_EF)
  assert.ok(point !== undefined, 'the ef that is asked for is measured')
  const { ef, recall, recall_lcb, cpu_us } = point
  return { ef, recall, recall_lcb, cpu_us }
}

type Must = (method: string, path: string, body?: object) => Promise<unknown>

interface Decision {
  readonly verdict: string
  readonly trial_id: string
  readonly reason: string
}

/** In a process group of its own, so that all of it can be ended. */
async function npmStart(cwd: string, env: NodeJS.ProcessEnv): Promise<ChildProcess> {
  const child = spawn('npm', ['start'], {
    cwd,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void end(child).finally(() => process.exit(1)))
  }
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.includes('"address":"http:')) resolve()
    })
    child.once('exit', (code) => {
      reject(new Error(`npm start ended with ${String(code)}`))
    })
  })
  return child
}

async function end(child: ChildProcess | null): Promise<void> {
  if (child?.pid === undefined || child.exitCode !== null) return
  const gone = once(child, 'exit')
  process.kill(-child.pid, 'SIGTERM')
  await gone
}

/** Without the programs of this checkout: the clone brings its own. */
function plainPath(): string {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  return folders.filter((folder) => !folder.includes('node_modules')).join(delimiter)
}
