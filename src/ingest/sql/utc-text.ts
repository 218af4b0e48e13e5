/**
 * Moments as databases write them, `2024-02-29 12:34:56.789012`, in UTC and in the Gregorian calendar
 * for all times, from and to microseconds since the Unix epoch.
 */

import { ValueRefusal } from './sql-session.ts'

const DAY_S = 86_400
const MICROS = 1_000_000n

/** Years that both systems write with four digits. */
const YEAR_MIN = 1
const YEAR_MAX = 9999

/**
 * Microseconds of `2024-02-29`, or with a time and up to six decimals behind it. Null where the month or
 * the day is zero: MySQL keeps such dates, and they are none.
 */
export function microsOfText(text: string): bigint | null {
  const month = twoDigits(text, 5)
  const day = twoDigits(text, 8)
  if (month === 0 || day === 0) return null
  const year = twoDigits(text, 0) * 100 + twoDigits(text, 2)
  let seconds = daysOf(year, month, day) * DAY_S
  if (text.length < 19) return BigInt(seconds) * MICROS
  seconds += twoDigits(text, 11) * 3600 + twoDigits(text, 14) * 60 + twoDigits(text, 17)
  if (text.length < 21) return BigInt(seconds) * MICROS
  const fraction = Number(text.slice(20).padEnd(6, '0'))
  return BigInt(seconds) * MICROS + BigInt(fraction)
}

/** @throws {ValueRefusal} outside of the years 1 to 9999. */
export function textOfMicros(micros: bigint): string {
  const fraction = ((micros % MICROS) + MICROS) % MICROS
  const date = new Date(Number((micros - fraction) / 1000n))
  const year = date.getUTCFullYear()
  if (!(year >= YEAR_MIN && year <= YEAR_MAX)) {
    throw new ValueRefusal('is not in the years 1 to 9999')
  }
  const text = date.toISOString().slice(0, 19).replace('T', ' ')
  return `${text}.${String(fraction).padStart(6, '0')}`
}

/** Days from 1970-01-01. */
function daysOf(year: number, month: number, day: number): number {
  // A year that begins in March ends with the day that is there only in some.
  const shifted = month > 2 ? year : year - 1
  const era = Math.floor(shifted / 400)
  const yearOfEra = shifted - era * 400
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear
  return era * 146_097 + dayOfEra - 719_468
}

function twoDigits(text: string, at: number): number {
  return (text.charCodeAt(at) - 48) * 10 + text.charCodeAt(at + 1) - 48
}
