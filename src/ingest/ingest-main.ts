/**
 * The entry of the process of an ingest: one job from its start to its end, at a low priority.
 *
 * It holds what the service must not: the connection to a database, batches of rows, the readers and
 * writers of files. It ends with its job.
 */

import { setPriority } from 'node:os'
import { toWireError } from '../dataplane/error-codec.ts'
import { VectordError } from '../lib/errors.ts'
import { MessagePipe } from '../processes/message-pipe.ts'
import { openParentLink } from '../processes/parent-link.ts'
import type { IngestJob, ProcessMessage, ServiceMessage } from './ingest-job.ts'
import { runIngest } from './run-ingest.ts'

/** Batches and parts on their way: one is written while the next is made. */
const IN_FLIGHT_MAX = 2
const ALIVE_MS = 500

const [, , niceness] = process.argv
setPriority(Number(niceness))

const stopping = new AbortController()
/** By number: what the service has not taken yet. */
const inFlight = new Set<number>()
let lastId = 0
let rows = 0
let total: number | null = null
/** Called when something was taken. */
let wake = (): void => undefined

const pipe = new MessagePipe(openParentLink(), {
  onMessage: (message) => {
    // The service sends nothing else.
    receive(message as ServiceMessage)
  },
  onClose: () => process.exit(0),
})

function receive(message: ServiceMessage): void {
  if (message.kind === 'start') {
    void serve(message.job)
    return
  }
  if (message.kind === 'stop') {
    stopping.abort(new VectordError('operation_cancelled', 'The ingest was cancelled.'))
  } else inFlight.delete(message.id)
  wake()
}

async function serve(job: IngestJob): Promise<void> {
  live()
  const timer = setInterval(live, ALIVE_MS)
  try {
    const output = {
      points: (batch: Extract<ProcessMessage, { kind: 'points' }>['batch']) =>
        give((id) => ({ kind: 'points', id, batch })),
      part: (part: Extract<ProcessMessage, { kind: 'part' }>['part']) =>
        give((id) => ({ kind: 'part', id, part })),
      progress: (read: number, all: number | null) => {
        rows = read
        total = all
      },
    }
    const summary = await runIngest(job, output, stopping.signal)
    await room(1)
    send({ kind: 'done', summary })
  } catch (error) {
    send({ kind: 'failed', error: toWireError(error, `ingest-${process.pid}`) })
  } finally {
    clearInterval(timer)
  }
}

function live(): void {
  const { user, system } = process.cpuUsage()
  send({ kind: 'alive', rows, total, cpuMs: (user + system) / 1000 })
}

/** Resolves when another may follow. */
async function give(message: (id: number) => ProcessMessage): Promise<void> {
  lastId += 1
  inFlight.add(lastId)
  send(message(lastId))
  await room(IN_FLIGHT_MAX)
}

/** Waits until fewer than `max` are on their way. @throws the reason of the stop. */
async function room(max: number): Promise<void> {
  while (inFlight.size >= max) {
    stopping.signal.throwIfAborted()
    await new Promise<void>((resolve) => {
      wake = resolve
    })
  }
  stopping.signal.throwIfAborted()
}

function send(message: ProcessMessage): void {
  pipe.send(message)
}
