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

const TIMESTAMP =
  /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/

/** A point in time with its zone, as `timestampText` writes it; null for any other text. */
export function parseTimestamp(text: string): bigint | null {
  // Most texts are none: the first digits tell.
  if (text.length < 20 || text.length > 32) return null
  const [, seconds, fraction = '', zone] = TIMESTAMP.exec(text) ?? []
  if (seconds === undefined || zone === undefined) return null
  const utcMs = Date.parse(`${seconds}Z`)
  // Date takes the 30th of February for the 1st of March.
  if (Number.isNaN(utcMs) || !new Date(utcMs).toISOString().startsWith(seconds)) return null
  const micros = BigInt(utcMs) * 1000n + BigInt(fraction.padEnd(6, '0'))
  return micros - offsetOf(zone)
}

function offsetOf(zone: string): bigint {
  if (zone === 'Z') return 0n
  const minutes = BigInt(zone.slice(1, 3)) * 60n + BigInt(zone.slice(4, 6))
  return (zone.startsWith('-') ? -minutes : minutes) * 60_000_000n
}
