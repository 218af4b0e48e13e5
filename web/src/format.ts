/** Numbers, sizes and times as people read them. A dash stands for what is not known. */

export const DASH = '–'

type Known = number | null | undefined

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
// Made once: making one takes longer than a thousand uses.
const times = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' })
const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const
const SPANS = [
  ['day', 86_400],
  ['h', 3600],
  ['min', 60],
] as const

export function count(value: Known): string {
  return value === null || value === undefined ? DASH : whole.format(value)
}

/** Three digits that matter. */
export function amount(value: Known): string {
  if (value === null || value === undefined) return DASH
  if (value === 0 || Math.abs(value) >= 100) return whole.format(value)
  return String(Number(value.toPrecision(3)))
}

export function bytes(value: Known): string {
  if (value === null || value === undefined) return DASH
  const power = Math.min(BYTE_UNITS.length - 1, Math.floor(Math.log2(Math.max(1, value)) / 10))
  return `${amount(value / 1024 ** power)} ${BYTE_UNITS[power] ?? 'B'}`
}

/** Shares such as recall: four digits, since the fourth decides. */
export function share(value: Known): string {
  return value === null || value === undefined ? DASH : value.toFixed(4).replace(/0{1,2}$/, '')
}

export function percent(value: Known): string {
  return value === null || value === undefined ? DASH : `${amount(100 * value)} %`
}

export function milliseconds(value: Known): string {
  if (value === null || value === undefined) return DASH
  return value >= 10_000 ? duration(value / 1000) : `${amount(value)} ms`
}

export function duration(seconds: Known): string {
  if (seconds === null || seconds === undefined) return DASH
  if (seconds < 60) return `${amount(seconds)} s`
  for (const [unit, size] of SPANS) {
    if (seconds >= size) return `${whole.format(Math.floor(seconds / size))} ${unit}`
  }
  return `${whole.format(seconds)} s`
}

export function ago(iso: string, nowMs: number): string {
  const seconds = Math.max(0, (nowMs - Date.parse(iso)) / 1000)
  return seconds < 5 ? 'just now' : `${duration(Math.floor(seconds))} ago`
}

/** A time of this machine, to the second. */
export function absolute(time: string | number): string {
  return times.format(new Date(time))
}

export function clock(ms: number): string {
  return new Date(ms).toLocaleTimeString('en-GB')
}

/** `roll_forward` as words. */
export function words(name: string): string {
  return name.replaceAll('_', ' ')
}
