/**
 * How far something is: a bar with its pace and the time that is left on a terminal, a plain line now
 * and then in a pipe. On standard error, so that results can be piped.
 */

import { SingleBar } from 'cli-progress'
import { say } from './terminal.ts'

/** Time between plain lines. */
const LINE_MS = 2000

export interface ProgressState {
  readonly done: number
  /** Null where nobody knows. */
  readonly total: number | null
  /** Beside the numbers, such as the stage. */
  readonly note?: string
}

export interface Progress {
  update(state: ProgressState): void
  /** Ends the line; nothing is shown afterwards. */
  stop(): void
}

export interface ProgressOptions {
  /** What is counted, such as `points` or `bytes`. */
  readonly unit: string
  readonly quiet: boolean
}

export function startProgress(options: ProgressOptions): Progress {
  if (options.quiet) return { update: () => undefined, stop: () => undefined }
  return process.stderr.isTTY ? bar(options) : lines(options)
}

function bar({ unit }: ProgressOptions): Progress {
  const single = new SingleBar({
    format: `{bar} {percentage}% {value}/{total} ${unit} {rate}/s eta {eta_formatted} {note}`,
    ...{ stream: process.stderr, hideCursor: true, clearOnComplete: false },
    etaBuffer: 50,
  })
  const startMs = performance.now()
  let isStarted = false
  return {
    update: ({ done, total, note = '' }) => {
      const fields = { note, rate: Math.round(paceOf(done, startMs)) }
      if (!isStarted) single.start(total ?? Math.max(done, 1), 0, fields)
      isStarted = true
      single.setTotal(Math.max(total ?? 0, done, 1))
      single.update(done, fields)
    },
    stop: () => {
      if (isStarted) single.stop()
    },
  }
}

function lines({ unit }: ProgressOptions): Progress {
  const startMs = performance.now()
  let saidMs = startMs
  return {
    update: ({ done, total, note = '' }) => {
      if (performance.now() - saidMs < LINE_MS) return
      saidMs = performance.now()
      const pace = paceOf(done, startMs)
      const left = total === null || pace === 0 ? '' : `, eta ${Math.ceil((total - done) / pace)} s`
      const of = total === null ? '' : ` of ${total}`
      const about = note === '' ? '' : ` ${note}`
      say(`${done}${of} ${unit}, ${Math.round(pace)}/s${left}${about}`)
    },
    stop: () => undefined,
  }
}

function paceOf(done: number, startMs: number): number {
  return done / Math.max(0.001, (performance.now() - startMs) / 1000)
}
