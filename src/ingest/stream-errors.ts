/**
 * What requests of a stream are told that it does not take, or not whole.
 */

import { VectordError } from '../lib/errors.ts'
import type { StreamOutcome } from './stream-buffer.ts'

export function notEnabled(index: string): VectordError {
  return new VectordError('stream_not_enabled', `Index "${index}" takes no stream.`, {
    details: { index },
  })
}

export function drainingError(index: string): VectordError {
  const message = `The stream of index "${index}" is being drained.`
  return new VectordError('stream_draining', message, { details: { index }, retryAfterS: 1 })
}

export function stoppedError(index: string): VectordError {
  const message = `The stream of index "${index}" has stopped.`
  return new VectordError('stream_stopped', message, { details: { index }, retryAfterS: 60 })
}

export function fullError(full: {
  readonly index: string
  readonly waiting: number
  readonly bufferSize: number
  readonly retryAfterS: number
}): VectordError {
  const { index, waiting, bufferSize, retryAfterS } = full
  const message = `${waiting} points wait in the stream of index "${index}"; it holds ${bufferSize}.`
  const details = { index, waiting, buffer_size: bufferSize }
  return new VectordError('stream_buffer_full', message, { details, retryAfterS })
}

export function lateError(isBeingWritten: boolean): VectordError {
  const rest = isBeingWritten ? 'the rest may still become durable' : 'the rest was not written'
  return new VectordError('deadline_exceeded', `The points were not logged in time; ${rest}.`)
}

/** The error with what became of the points before it. */
export function partlyTaken(error: VectordError, outcome: StreamOutcome): VectordError {
  const { accepted, lsn, deadLettered } = outcome
  return new VectordError(error.code, error.message, {
    details: {
      ...error.details,
      ...{ accepted, lsn, first_refused: accepted },
      ...(deadLettered > 0 && { dead_lettered: deadLettered }),
    },
    cause: error,
    ...(error.retryAfterS !== null && { retryAfterS: error.retryAfterS }),
  })
}
