/**
 * Runs one command, and ends with the number that says how it went.
 */

import { CommanderError } from 'commander'
import {
  ImportError,
  OperationFailedError,
  VectordApiError,
  VectordConnectionError,
} from '../client/errors.ts'
import { VectordError } from '../src/lib/errors.ts'
import { EXIT, exitCodeOf, isBrokenPipe, UsageError } from './exit-codes.ts'
import { buildProgram } from './program.ts'
import { printable, say } from './terminal.ts'

export async function main(args: readonly string[]): Promise<void> {
  // Whoever read the output has seen enough, as `head` does: nothing is to be said about it.
  process.stdout.on('error', (error) => {
    process.exit(isBrokenPipe(error) ? EXIT.brokenPipe : EXIT.failed)
  })
  try {
    await buildProgram().parseAsync([...args], { from: 'user' })
  } catch (error) {
    process.exitCode = exitCodeOf(error)
    // Commander has said what it had to say.
    if (!(error instanceof CommanderError)) tell(error, args.includes('--json'))
  }
}

function tell(error: unknown, asJson: boolean): void {
  if (asJson) say(JSON.stringify({ error: errorJson(error) }))
  else say(`vectord: ${textOf(error)}`)
}

function textOf(error: unknown): string {
  const message = printable(messageOf(error))
  const hint = hintOf(error)
  return hint === '' ? message : `${message} ${hint}`
}

function hintOf(error: unknown): string {
  if (error instanceof VectordConnectionError) return 'Does the service run there? See --url.'
  if (!(error instanceof VectordApiError)) return ''
  const id = error.requestId === null ? '' : `, request ${printable(error.requestId)}`
  return `(${error.code}${id})`
}

function errorJson(error: unknown): Readonly<Record<string, unknown>> {
  const message = messageOf(error)
  if (error instanceof ImportError) {
    const { accepted, resumeAt } = error
    return { ...errorJson(error.cause), message, accepted, resume_at: resumeAt }
  }
  if (error instanceof VectordApiError) {
    const { code, status, retryable, details, requestId } = error
    return { code, message, status, retryable, details, request_id: requestId }
  }
  if (error instanceof VectordError) return { code: error.code, message, details: error.details }
  return { code: wordOf(error), message }
}

function wordOf(error: unknown): string {
  if (error instanceof VectordConnectionError) return error.isTimeout ? 'timeout' : 'no_answer'
  if (error instanceof OperationFailedError) return error.operation.error?.code ?? 'cancelled'
  return error instanceof UsageError ? 'usage' : 'failed'
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
