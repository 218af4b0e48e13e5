/**
 * What commands that ask a service have in common: where it is, the key, how long, and Control-C.
 */

import { InvalidArgumentError, type Command } from 'commander'
import { Client } from '../client/client.ts'
import { Interrupted, UsageError } from './exit-codes.ts'

const DEFAULT_URL = 'http://127.0.0.1:8600'

export interface RemoteOptions {
  readonly url?: string
  readonly key?: string
  readonly timeout: number
  readonly json?: boolean
  readonly quiet?: boolean
}

/** Adds the options that every such command takes. */
export function remote(command: Command): Command {
  return command
    .option('--url <url>', `where the service is (VECTORD_URL; else ${DEFAULT_URL})`)
    .option('--key <key>', 'API key; better in VECTORD_API_KEY, since others see arguments')
    .option('--timeout <seconds>', 'of each request', positiveNumber, 60)
    .option('--json', 'print the result as JSON')
    .option('--quiet', 'show no progress')
}

/** @throws {UsageError} where the URL or the key cannot be one. */
export function clientOf({ url, key, timeout }: RemoteOptions): Client {
  const { VECTORD_URL, VECTORD_API_KEY } = process.env
  const given = key ?? (VECTORD_API_KEY === '' ? undefined : VECTORD_API_KEY)
  try {
    return new Client({
      url: url ?? (VECTORD_URL === undefined || VECTORD_URL === '' ? DEFAULT_URL : VECTORD_URL),
      ...(given !== undefined && { key: given }),
      timeoutMs: timeout * 1000,
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

/** Does `work` with a signal that Control-C gives; a second one ends the process. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const interrupt = (): void => {
    controller.abort(new Interrupted())
  }
  process.once('SIGINT', interrupt)
  try {
    return await work(controller.signal)
  } finally {
    process.off('SIGINT', interrupt)
  }
}

function positiveNumber(text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value) && value > 0) return value
  throw new InvalidArgumentError('It must be a number above 0.')
}

export function positiveInteger(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('It must be a whole number above 0.')
}

export function share(text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && value >= 0 && value <= 1) return value
  throw new InvalidArgumentError('It must be a number from 0 to 1.')
}
