/**
 * JSON that a person writes on the command line.
 */

import { InvalidArgumentError } from 'commander'
import { UsageError } from './exit-codes.ts'

/** @param what names the input in the message. @throws {UsageError} */
export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new UsageError(`${what} is not JSON.`)
  }
}

/** The value of `--filter`. */
export function filterOption(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    if (isObject(value)) return value
  } catch {
    // Told below.
  }
  throw new InvalidArgumentError('It must be a JSON object, such as {"year": {"$gte": 2020}}.')
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
