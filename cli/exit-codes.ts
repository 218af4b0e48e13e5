/**
 * How the command line ends: scripts decide by these numbers, so they never change their meaning.
 */

import { CommanderError } from 'commander'
import {
  ImportError,
  OperationFailedError,
  VectordApiError,
  VectordConnectionError,
} from '../client/errors.ts'
import { VectordError } from '../src/lib/errors.ts'

export const EXIT = {
  ok: 0,
  /** The service refused, or work failed; `doctor` found damage. */
  failed: 1,
  /** The command line or its input is wrong, or the configuration is. */
  usage: 2,
  /** No answer from the service or the bucket. */
  unreachable: 3,
  /** No key, an unknown key, or one that may not do this. */
  denied: 4,
  /** A server holds the folder that `doctor` was to look at. */
  inUse: 5,
  /** Control-C, as shells count it. */
  interrupted: 130,
  /** Whoever read the output has gone, as shells count it. */
  brokenPipe: 141,
} as const

/** What was asked for cannot be done as it stands. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** The person at the terminal pressed Control-C. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'

  constructor() {
    super('Interrupted.')
  }
}

const UNREACHABLE_CODES = ['bucket_unreachable', 'overloaded', 'shutting_down']

export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
  if (error instanceof ImportError) return exitCodeOf(error.cause)
  if (error instanceof VectordApiError) return ofAnswer(error)
  if (error instanceof VectordError) return ofOwn(error)
  const known = OTHERS.find(([kind]) => error instanceof kind)
  if (known !== undefined) return known[1]
  return isBrokenPipe(error) ? EXIT.brokenPipe : EXIT.failed
}

const OTHERS = [
  [Interrupted, EXIT.interrupted],
  [OperationFailedError, EXIT.failed],
  [VectordConnectionError, EXIT.unreachable],
  [UsageError, EXIT.usage],
  // What the client says of arguments that cannot be.
  [TypeError, EXIT.usage],
] as const

export function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EPIPE'
}

function ofAnswer({ status, code }: VectordApiError): number {
  if (status === 401 || status === 403) return EXIT.denied
  return status >= 502 || UNREACHABLE_CODES.includes(code) ? EXIT.unreachable : EXIT.failed
}

function ofOwn({ code }: VectordError): number {
  if (code === 'root_locked') return EXIT.inUse
  if (code === 'invalid_config' || code === 'bad_request') return EXIT.usage
  return UNREACHABLE_CODES.includes(code) ? EXIT.unreachable : EXIT.failed
}
