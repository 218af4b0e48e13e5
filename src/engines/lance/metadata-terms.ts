/**
 * What filters ask of a row, as one text: the column `terms`.
 *
 *     {"year": 2020, "tags": ["a", "b"]}  ─▶  ⟨year⟩n<16 letters>│⟨tags⟩sa│⟨tags⟩sb│
 *
 *     entry = START field MIDDLE value END      value = s<string> | n<number> | b0 | b1 | nothing
 *
 * A condition is then a search for a text or a pattern in it (`filter-sql.ts`), which LanceDB does
 * itself, ten times faster than it looks into JSON. Field names and strings are written one character
 * for each UTF-16 unit, those from 0xD800 on as 0x10000 more: so their order is that of JavaScript,
 * halves of surrogate pairs have a place, and the three marks appear nowhere else. Numbers are the
 * bits of the double, turned so that they sort, as 16 letters from a to p.
 *
 * A value is an entry of its own, and a field without values (null, an object) has an empty one.
 */

import type { Scalar } from '../../domain/filter.ts'
import { fieldsOf } from '../../domain/metadata-fields.ts'
import { VectordError } from '../../lib/errors.ts'

const START = '\uE000'
const MIDDLE = '\uE001'
export const END = '\uE002'

/** The first unit that is moved, by `SHIFT`. */
export const MOVED_FROM = 0xd800
export const SHIFT = 0x10000

/** Bounds what a deeply nested object can make of itself: paths are repeated for each value. */
const TERMS_CHARS_MAX = 256 * 1024

const LETTER_A = 'a'.charCodeAt(0)
const SIGN = 1 << 31
const BITS = new DataView(new ArrayBuffer(8))

/**
 * @param metadata JSON text of an object, or null.
 * @throws {VectordError} `invalid_points` where it is no object, or too deep and wide.
 */
export function termsOf(metadata: string | null): string {
  if (metadata === null) return ''
  let terms = ''
  for (const { field, values } of fieldsOf(parseObject(metadata))) {
    const head = headOf(field)
    if (values.length === 0) terms += head + END
    for (const value of values) terms += head + valueText(value) + END
    if (terms.length > TERMS_CHARS_MAX) {
      const text = 'The metadata is nested too deep and wide for a Lance table.'
      throw new VectordError('invalid_points', text, { details: { chars_max: TERMS_CHARS_MAX } })
    }
  }
  return terms
}

/** What each entry of a field starts with. */
export function headOf(field: string): string {
  return START + unitsText(field) + MIDDLE
}

/** The value of an entry; two are the same where `===` says so. */
export function valueText(value: Scalar): string {
  switch (typeof value) {
    case 'string':
      return `s${unitsText(value)}`
    case 'number':
      return `n${numberText(value)}`
    default:
      return value ? 'b1' : 'b0'
  }
}

/** A string with a character for each unit, in the order of units. */
export function unitsText(text: string): string {
  if (!/[\uD800-\uFFFF]/.test(text)) return text
  let out = ''
  for (let i = 0; i < text.length; i += 1) {
    const unit = text.charCodeAt(i)
    out += String.fromCodePoint(unit < MOVED_FROM ? unit : unit + SHIFT)
  }
  return out
}

/** Letters that sort as the numbers do. */
export function numberText(value: number): string {
  // Both zeros are one value.
  BITS.setFloat64(0, value === 0 ? 0 : value)
  const high = BITS.getInt32(0)
  const low = BITS.getInt32(4)
  return high < 0 ? letters(~high) + letters(~low) : letters(high | SIGN) + letters(low)
}

/** A letter for each four bits. */
function letters(word: number): string {
  let text = ''
  for (let shift = 28; shift >= 0; shift -= 4) {
    text += String.fromCharCode(LETTER_A + ((word >>> shift) & 0xf))
  }
  return text
}

function parseObject(json: string): Readonly<Record<string, unknown>> {
  let parsed: unknown
  try {
    parsed = JSON.parse(json)
  } catch (cause) {
    throw new VectordError('invalid_points', 'Metadata is not JSON.', { cause })
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new VectordError('invalid_points', 'Metadata is not an object.')
  }
  return { ...parsed }
}
