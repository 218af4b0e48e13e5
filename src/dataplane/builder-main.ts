/**
 * The entry of a builder: a child process of the front that builds and measures graphs over the
 * points of one checkpoint at a time, at a low priority.
 *
 * Jobs run one after the other. Cancelling one is ending the process.
 */

import { rmSync } from 'node:fs'
import { setPriority } from 'node:os'
import { openStore } from '../buckets/open-store.ts'
import type { ObjectStore } from '../buckets/object-store.ts'
import { benchFolder, type Dataset } from '../domain/workbench.ts'
import { openParentLink } from '../processes/parent-link.ts'
import { Workbench } from '../shard/workbench.ts'
import { datasetKey, type BuilderRequest } from './builder-jobs.ts'
import { toWireError } from './error-codec.ts'
import { FrameChannel } from './frame-channel.ts'
import { FRAME, type Frame } from './frame.ts'
import { readJson, writeJson } from './shard-codec.ts'
import { runJob } from './run-job.ts'

const [, , niceness] = process.argv
setPriority(Number(niceness))

interface Opened {
  readonly key: string
  readonly bench: Workbench
  readonly store: ObjectStore
}

let opened: Opened | null = null
/** Of the points that were asked for last; it goes with the process. */
let folder: string | null = null
let jobs: Promise<void> = Promise.resolve()

const channel = new FrameChannel(openParentLink(), {
  onFrame: (frame) => {
    jobs = jobs.then(() => serve(frame))
  },
  onClose: () => process.exit(0),
})

process.on('exit', () => {
  if (folder !== null) rmSync(folder, { recursive: true, force: true })
})

async function serve(frame: Frame): Promise<void> {
  try {
    const { dataset, job } = readJson(frame.body) as BuilderRequest
    const bench = await benchOf(dataset, (fraction) => progress(frame, 'loading', fraction))
    const answer = await runJob(bench, job, (fraction) =>
      progress(frame, STAGES[job.kind], fraction),
    )
    reply(frame, FRAME.answer, answer)
  } catch (error) {
    reply(frame, FRAME.failure, toWireError(error, `builder-${frame.id}`))
  }
}

const STAGES = {
  describe: 'loading',
  truth: 'comparing exactly',
  sampleRows: 'choosing queries',
  build: 'building',
  measure: 'measuring',
  compare: 'comparing',
  save: 'saving',
} as const

async function benchOf(
  dataset: Dataset,
  onProgress: (fraction: number) => void,
): Promise<Workbench> {
  const key = datasetKey(dataset)
  if (opened?.key === key) return opened.bench
  const before = opened
  opened = null
  await before?.bench.close()
  await before?.store.close()
  const [first] = dataset.shards
  if (first === undefined) throw new TypeError('a data set has a shard')
  folder = benchFolder(dataset, process.pid)
  const store = await openStore(first.bucket)
  try {
    const bench = await Workbench.open(dataset.shards, store, onProgress)
    opened = { key, bench, store }
    return bench
  } catch (error) {
    await store.close()
    throw error
  }
}

const PROGRESS_EVERY_MS = 100
let toldMs = 0

function progress(frame: Frame, stage: string, fraction: number): void {
  const nowMs = performance.now()
  if (nowMs - toldMs < PROGRESS_EVERY_MS) return
  toldMs = nowMs
  reply(frame, FRAME.progress, { stage, fraction })
}

function reply(
  frame: Frame,
  type: typeof FRAME.answer | typeof FRAME.failure | typeof FRAME.progress,
  body: unknown,
): void {
  const { writer } = channel
  writer.begin({ type, id: frame.id, flags: 0, shard: 0, deadlineMs: Infinity })
  writeJson(writer, body)
  writer.end()
  channel.flush()
}

channel.writer.begin({ type: FRAME.hello, id: 0, flags: 0, shard: 0, deadlineMs: Infinity })
channel.writer.end()
channel.flush()
