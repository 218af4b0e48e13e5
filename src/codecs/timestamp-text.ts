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
