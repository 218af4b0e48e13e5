/**
 * Timestamps (microseconds since the Unix epoch, UTC) as ISO 8601 text: `2026-01-31T12:00:00.123456Z`.
 *
 * Milliseconds are written where there are no finer parts, and nothing where there are none at all.
 */

const DAY_US = 86_400_000_000n
/** `Date` holds these days around the epoch: years -271821 to 275760. */
const DATE_MS_MAX = 8_640_000_000_000_000n

export function timestampText(micros: bigint): string {
  const seconds = micros / 1_000_000n - (micros % 1_000_000n < 0n ? 1n : 0n)
  const fraction = micros - seconds * 1_000_000n
  return `${secondsText(seconds)}${fractionText(fraction)}Z`
}

function secondsText(seconds: bigint): string {
  const ms = seconds * 1000n
  if (ms >= -DATE_MS_MAX && ms <= DATE_MS_MAX) {
    return new Date(Number(ms)).toISOString().slice(0, -5)
  }
  // Outside of what Date holds the calendar repeats every 400 years of 146,097 days.
  const era = 146_097n * (DAY_US / 1_000_000n)
  const eras = seconds / era
  const inner = new Date(Number((seconds - eras * era) * 1000n))
  const year = BigInt(inner.getUTCFullYear()) + eras * 400n
  const sign = year < 0n ? '-' : '+'
  const digits = (year < 0n ? -year : year).toString().padStart(6, '0')
  return `${sign}${digits}${inner
    .toISOString()
    .replace(/^[+-]?\d+/, '')
    .slice(0, -5)}`
}

function fractionText(fraction: bigint): string {
  if (fraction === 0n) return ''
  const digits = fraction.toString().padStart(6, '0')
  return `.${digits.endsWith('000') ? digits.slice(0, 3) : digits}`
}

const DAY_NS = 86_400_000_000_000n

/** A time of day, given in nanoseconds since midnight, such as `23:59:59.5`. */
export function timeText(nanos: bigint): string {
  if (nanos < 0n || nanos > DAY_NS) return `${nanos / 1000n} us` // No time of a day: told as it is.
  const seconds = nanos / 1_000_000_000n
  const parts = [seconds / 3600n, (seconds / 60n) % 60n, seconds % 60n]
  const text = parts.map((part) => part.toString().padStart(2, '0')).join(':')
  return `${text}${decimals(nanos % 1_000_000_000n)}`
}

/** An ISO 8601 duration, such as `P1M2DT3.5S`; its parts may be negative. */
export function durationText({
  months,
  days,
  nanos,
}: {
  readonly months: number
  readonly days: number
  readonly nanos: bigint
}): string {
  const date = `${months === 0 ? '' : `${months}M`}${days === 0 ? '' : `${days}D`}`
  if (nanos === 0n && date !== '') return `P${date}`
  const size = nanos < 0n ? -nanos : nanos
  const sign = nanos < 0n ? '-' : ''
  return `P${date}T${sign}${size / 1_000_000_000n}${decimals(size % 1_000_000_000n)}S`
}

function decimals(nanos: bigint): string {
  return nanos === 0n ? '' : `.${nanos.toString().padStart(9, '0').replace(/0+$/, '')}`
}

const ZERO = 48
const DASH = 45
const COLON = 58
const DOT = 46
const PLUS = 43
const UPPER_T = 84
const UPPER_Z = 90

/** `YYYY-MM-DDThh:mm:ss`, where the fraction and the zone follow. */
const SECONDS_CHARS = 19
const FRACTION_DIGITS_MAX = 6
const TIMESTAMP_CHARS_MAX = SECONDS_CHARS + 1 + FRACTION_DIGITS_MAX + 6

/**
 * A point in time with its zone, as `timestampText` writes it; null for any other text. Every text of
 * a file is asked, so most are told by one character.
 */
export function parseTimestamp(text: string): bigint | null {
  if (text.charCodeAt(10) !== UPPER_T || text.length > TIMESTAMP_CHARS_MAX) return null
  const seconds = parseSeconds(text)
  const fraction = parseFraction(text)
  if (seconds === null || fraction === null) return null
  const offset = parseZone(text, fraction.end)
  return offset === null ? null : BigInt(seconds - offset) * 1_000_000n + BigInt(fraction.micros)
}

/** Microseconds behind the seconds, and where they end. */
function parseFraction(text: string): { readonly micros: number; readonly end: number } | null {
  if (text.charCodeAt(SECONDS_CHARS) !== DOT) return { micros: 0, end: SECONDS_CHARS }
  const start = SECONDS_CHARS + 1
  let end = start
  while (end < text.length && isDigit(text.charCodeAt(end))) end += 1
  const count = end - start
  if (count === 0 || count > FRACTION_DIGITS_MAX) return null
  return { micros: digits(text, start, count) * 10 ** (FRACTION_DIGITS_MAX - count), end }
}

/** Seconds since the epoch, without regard to a zone. */
function parseSeconds(text: string): number | null {
  if (text.charCodeAt(4) !== DASH || text.charCodeAt(7) !== DASH) return null
  if (text.charCodeAt(13) !== COLON || text.charCodeAt(16) !== COLON) return null
  const time = parseTime(text)
  const days = daysOf(digits(text, 0, 4), digits(text, 5, 2), digits(text, 8, 2))
  return time === null || days === null ? null : days * 86_400 + time
}

function parseTime(text: string): number | null {
  const hours = digits(text, 11, 2)
  const minutes = digits(text, 14, 2)
  const seconds = digits(text, 17, 2)
  const isTime = inRange(hours, 0, 23) && inRange(minutes, 0, 59) && inRange(seconds, 0, 59)
  return isTime ? (hours * 60 + minutes) * 60 + seconds : null
}

/** Seconds that a zone is ahead of UTC, where it is the rest of the text. */
function parseZone(text: string, at: number): number | null {
  const sign = text.charCodeAt(at)
  if (sign === UPPER_Z) return text.length === at + 1 ? 0 : null
  if (sign !== PLUS && sign !== DASH) return null
  if (text.length !== at + 6 || text.charCodeAt(at + 3) !== COLON) return null
  const hours = digits(text, at + 1, 2)
  const minutes = digits(text, at + 4, 2)
  if (!inRange(hours, 0, 23) || !inRange(minutes, 0, 59)) return null
  return (hours * 60 + minutes) * (sign === DASH ? -60 : 60)
}

/** Days since the epoch of a day of the Gregorian calendar; null where there is no such day. */
function daysOf(year: number, month: number, day: number): number | null {
  if (!inRange(year, 0, 9999) || !inRange(month, 1, 12)) return null
  const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  const length = month === 2 && isLeap ? 29 : (MONTH_DAYS[month - 1] ?? 0)
  if (!inRange(day, 1, length)) return null
  // Years begin in March, so that the leap day is the last of one.
  const y = month <= 2 ? year - 1 : year
  const fromMarch = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1
  const leaps = Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400)
  return 365 * y + leaps + fromMarch - 719_468
}

const MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/** The number that `count` digits are; NaN where one is none. */
function digits(text: string, at: number, count: number): number {
  let value = 0
  for (let i = at; i < at + count; i += 1) {
    const code = text.charCodeAt(i)
    if (!isDigit(code)) return NaN
    value = value * 10 + code - ZERO
  }
  return value
}

function isDigit(code: number): boolean {
  return code >= ZERO && code <= ZERO + 9
}

function inRange(value: number, min: number, max: number): boolean {
  return value >= min && value <= max
}
