/**
 * Ids that sort by the time at which they were given: milliseconds since the epoch in hexadecimal,
 * then randomness, so that two processes never give the same.
 */

import { randomBytes } from 'node:crypto'

export const TIME_ID_PATTERN = '^[0-9a-f]{12}-[0-9a-f]{16}$'

export function newTimeId(nowMs: number): string {
  return `${nowMs.toString(16).padStart(12, '0')}-${randomBytes(8).toString('hex')}`
}
