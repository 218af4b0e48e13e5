/**
 * Filters as predicates of LanceDB over the column `terms` (see `metadata-terms.ts`).
 *
 *     {"year": 2020}                    contains(terms, '⟨year⟩n…│')
 *     {"year": {"$in": [2020, 2021]}}   regexp_like(terms, '⟨year⟩(?:n…|n…)│')
 *     {"year": {"$gte": 2020}}          regexp_like(terms, '⟨year⟩n(?:…)')
 *
 * `terms` is never null, so each condition is true or false. Negations are moved down to the
 * conditions, because the parser of LanceDB takes only so many nested brackets.
 *
 * Nothing of a filter reaches SQL but inside quotes, with the quotes in it doubled; in a pattern
 * every ASCII character but letters and digits is written as its number.
 */

import { parseFilter, type Filter } from '../../domain/filter.ts'
import { VectordError } from '../../lib/errors.ts'
import {
  END,
  headOf,
  MOVED_FROM,
  numberText,
  SHIFT,
  unitsText,
  valueText,
} from './metadata-terms.ts'

/** Characters of alternatives in one pattern: what it compiles to is bounded. */
const PATTERN_CHARS_MAX = 32 * 1024
/** Characters of a bound that one pattern looks at; its alternatives grow with the square. */
const BOUND_STEP = 64
/**
 * Of all ranges over strings together. Their patterns grow with the square as well, and compiling those
 * of one bound of this length takes half a second.
 */
const BOUND_CHARS_MAX = 4096
/** Of all names and strings of a filter: what is made of them holds up every table of the process. */
const FILTER_CHARS_MAX = 512 * 1024

const FIRST_MOVED = MOVED_FROM + SHIFT
const LAST_CHARACTER = 0xffff + SHIFT
const LAST_DIGIT = 'p'

type Leaf = Extract<Filter, { kind: 'equals' | 'range' | 'exists' }>
type Range = Extract<Filter, { kind: 'range' }>

/**
 * The predicate of a filter that is JSON text, or null where it matches everything.
 *
 * @throws {VectordError} `invalid_filter`.
 */
export function filterSql(json: string | null): string | null {
  if (json === null) return null
  const filter = parsed(json)
  checkLength(filter)
  const sql = predicate(filter, false)
  return sql === 'true' ? null : sql
}

/** A string literal. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

function parsed(json: string): Filter {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (cause) {
    throw new VectordError('invalid_filter', 'The filter is not JSON.', { cause })
  }
  return parseFilter(value)
}

/** @throws {VectordError} `invalid_filter` where its predicate would be too long. */
function checkLength(filter: Filter): void {
  let [bounds, all] = [0, 0]
  for (const leaf of leavesOf(filter)) {
    const texts = leaf.kind === 'equals' ? leaf.anyOf : leaf.kind === 'range' ? [leaf.bound] : []
    const chars = texts.reduce<number>((sum, text) => sum + charsOf(text), 0)
    if (leaf.kind === 'range') bounds += chars
    all += leaf.field.length + chars
  }
  const max = bounds > BOUND_CHARS_MAX ? BOUND_CHARS_MAX : FILTER_CHARS_MAX
  if (bounds <= BOUND_CHARS_MAX && all <= FILTER_CHARS_MAX) return
  const what = bounds > BOUND_CHARS_MAX ? 'bounds of ranges over strings' : 'names and strings'
  const problem = `${what} have at most ${max} characters together on a Lance index`
  throw new VectordError('invalid_filter', `The filter cannot be used: ${problem}.`, {
    details: { problem },
  })
}

function leavesOf(filter: Filter): readonly Leaf[] {
  switch (filter.kind) {
    case 'not':
      return leavesOf(filter.of)
    case 'and':
    case 'or':
      return filter.of.flatMap(leavesOf)
    default:
      return [filter]
  }
}

function charsOf(value: unknown): number {
  return typeof value === 'string' ? value.length : 0
}

function predicate(filter: Filter, negated: boolean): string {
  switch (filter.kind) {
    case 'not':
      return predicate(filter.of, !negated)
    case 'and':
    case 'or':
      return joined(
        filter.of.map((part) => predicate(part, negated)),
        (filter.kind === 'and') === negated ? 'OR' : 'AND',
      )
    default:
      return joined(
        conditions(filter).map((condition) => (negated ? `NOT ${condition}` : condition)),
        negated ? 'AND' : 'OR',
      )
  }
}

/** Nothing joined is what changes nothing: true by AND, false by OR. */
function joined(parts: readonly string[], op: 'AND' | 'OR'): string {
  const [neutral, final] = op === 'AND' ? ['true', 'false'] : ['false', 'true']
  if (parts.includes(final)) return final
  const counted = parts.filter((part) => part !== neutral)
  const [only] = counted
  if (only === undefined) return neutral
  return counted.length === 1 ? only : `(${counted.join(` ${op} `)})`
}

/** Predicates of which one at least holds where the condition does. */
function conditions(leaf: Leaf): string[] {
  const head = headOf(leaf.field)
  switch (leaf.kind) {
    case 'exists':
      return [contains(head)]
    case 'equals': {
      const entries = leaf.anyOf.map((value) => valueText(value))
      const [only] = entries
      if (only === undefined) return []
      if (entries.length === 1) return [contains(head + only + END)]
      return grouped(entries.map(literal)).map((any) => matches(`${literal(head)}(?:${any})${END}`))
    }
    case 'range':
      return rangeConditions(leaf, head)
  }
}

function contains(text: string): string {
  return `contains(terms, ${quoted(text)})`
}

/**
 * A mere text is to be asked for by `contains`: DataFusion turns such a pattern into a LIKE, where a
 * backslash means something else.
 */
function matches(pattern: string): string {
  return `regexp_like(terms, ${quoted(pattern)})`
}

/** Joins alternatives into groups that are not too long for a pattern. */
function grouped(alternatives: readonly string[]): string[] {
  const groups: string[][] = []
  let chars = Infinity
  for (const alternative of alternatives) {
    if (chars + alternative.length > PATTERN_CHARS_MAX) {
      groups.push([])
      chars = 0
    }
    chars += alternative.length
    groups.at(-1)?.push(alternative)
  }
  return groups.map((group) => group.join('|'))
}

function rangeConditions({ op, bound }: Range, head: string): string[] {
  if (typeof bound === 'number') {
    return [matches(`${literal(head)}n(?:${numberAlternatives(op, numberText(bound))})`)]
  }
  return stringConditions(op, Array.from(unitsText(bound)), `${head}s`)
}

/** All numbers have the same length: the first digit that differs decides. */
function numberAlternatives(op: Range['op'], digits: string): string {
  const isUpper = op === '$gt' || op === '$gte'
  const alternatives: string[] = op === '$gte' || op === '$lte' ? [digits] : []
  for (const [i, digit] of Array.from(digits).entries()) {
    const other = isUpper ? digitsAfter(digit) : digitsBefore(digit)
    if (other !== null) alternatives.push(digits.slice(0, i) + other)
  }
  // There are some: the letters of a finite number are neither all the first nor all the last.
  return alternatives.join('|')
}

function digitsAfter(digit: string): string | null {
  return digit === LAST_DIGIT ? null : `[${next(digit, 1)}-${LAST_DIGIT}]`
}

function digitsBefore(digit: string): string | null {
  return digit === 'a' ? null : `[a-${next(digit, -1)}]`
}

function next(digit: string, by: number): string {
  return String.fromCharCode(digit.charCodeAt(0) + by)
}

/** Alternatives by the first character that differs, a few characters of the bound a pattern. */
function stringConditions(op: Range['op'], bound: readonly string[], head: string): string[] {
  const isUpper = op === '$gt' || op === '$gte'
  const all: string[] = []
  for (let from = 0; from < bound.length; from += BOUND_STEP) {
    const alternatives: string[] = []
    const step = bound.slice(from, from + BOUND_STEP)
    for (const [i, character] of step.entries()) {
      const other = isUpper ? charactersAfter(character) : charactersBefore(character)
      if (other !== null) alternatives.push(literal(step.slice(0, i).join('')) + other)
    }
    const before = literal(head + bound.slice(0, from).join(''))
    if (alternatives.length > 0) all.push(matches(`${before}(?:${alternatives.join('|')})`))
  }
  const whole = head + bound.join('')
  if (op === '$gte') all.push(contains(whole))
  if (op === '$gt') all.push(matches(`${literal(whole)}[^${END}]`))
  if (op === '$lte') all.push(contains(whole + END))
  return all
}

/** Characters of strings that come after this one; never a mark. */
function charactersAfter(character: string): string | null {
  const code = codeOf(character)
  if (code === LAST_CHARACTER) return null
  const moved = Math.max(code + 1, FIRST_MOVED)
  const own = code + 1 < MOVED_FROM ? span(code + 1, MOVED_FROM - 1) : ''
  return `[${own}${span(moved, LAST_CHARACTER)}]`
}

/** Those that come before it, or the end of the string. */
function charactersBefore(character: string): string | null {
  const code = codeOf(character)
  const own = code === 0 ? '' : span(0, Math.min(code, MOVED_FROM) - 1)
  const moved = code > FIRST_MOVED ? span(FIRST_MOVED, code - 1) : ''
  return `[${own}${moved}${END}]`
}

function codeOf(character: string): number {
  return character.codePointAt(0) ?? 0
}

function span(from: number, to: number): string {
  return `\\x{${from.toString(16)}}-\\x{${to.toString(16)}}`
}

/** The text itself as a pattern. */
function literal(text: string): string {
  return text.replace(
    /[\0-/:-@[-`{-\x7f]/g,
    (character) => `\\x{${codeOf(character).toString(16)}}`,
  )
}
