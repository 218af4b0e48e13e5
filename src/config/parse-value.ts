/**
 * Turns what a file or the environment says into the value of one key, or says what it must be.
 */

import type { IntKey, Key, NumberKey } from './key-kinds.ts'

export type Value = string | number | boolean | readonly string[]

/** As people write it: no exponent, no sign but a minus. */
const DECIMAL = /^-?\d{1,20}(\.\d{1,20})?$/

/** A value that cannot be used; the loader adds the name and the place. Values are not repeated. */
export class ConfigFault extends Error {
  override readonly name = 'ConfigFault'
  /** Goes on after "must be". */
  readonly expected: string

  constructor(expected: string) {
    super(`must be ${expected}`)
    this.expected = expected
  }
}

/** @param value from the TOML parser, integers as bigint. @throws {ConfigFault} */
export function fromToml(key: Key, value: unknown): Value {
  if (key.kind === 'int') return checkInt(key, typeof value === 'bigint' ? value : null)
  if (key.kind === 'number')
    return checkNumber(key, typeof value === 'bigint' ? Number(value) : value)
  if (key.kind === 'bool') {
    if (typeof value !== 'boolean') throw new ConfigFault('true or false')
    return value
  }
  if (key.kind === 'texts') {
    if (!Array.isArray(value)) throw new ConfigFault(`a list of ${key.form}`)
    return value.map((entry: unknown, i) => checkEntry(key, entry, i))
  }
  return checkText(key, value)
}

/** @param text booleans are `true` and `false`, lists are divided by commas. @throws {ConfigFault} */
export function fromEnvironment(key: Key, text: string): Value {
  if (key.kind === 'int') return checkInt(key, /^-?\d{1,20}$/.test(text) ? BigInt(text) : null)
  if (key.kind === 'number') return checkNumber(key, DECIMAL.test(text) ? Number(text) : null)
  if (key.kind === 'bool') return fromToml(key, { true: true, false: false }[text])
  if (key.kind === 'texts') return fromToml(key, text === '' ? [] : text.split(','))
  return checkText(key, text)
}

function checkInt(key: IntKey, value: bigint | null): number {
  if (value === null || value < key.min || value > key.max) {
    throw new ConfigFault(`a whole number from ${key.min} to ${key.max} (${key.unit})`)
  }
  return Number(value)
}

function checkNumber(key: NumberKey, value: unknown): number {
  // Each comparison is false for NaN.
  if (typeof value === 'number' && value >= key.min && value <= key.max) return value
  throw new ConfigFault(`a number from ${key.min} to ${key.max} (${key.unit})`)
}

function checkEntry(key: Extract<Key, { kind: 'texts' }>, entry: unknown, i: number): string {
  if (typeof entry === 'string' && key.pattern.test(entry)) return entry
  throw new ConfigFault(`a list of ${key.form}; entry ${i + 1} is not`)
}

function checkText(
  key: Extract<Key, { kind: 'choice' | 'text' | 'path' }>,
  value: unknown,
): string {
  const expected = {
    choice: () => `one of ${'choices' in key ? key.choices.join(', ') : ''}`,
    text: () => ('form' in key ? key.form : ''),
    path: () => 'a path',
  }
  if (typeof value !== 'string' || !accepts(key, value)) {
    throw new ConfigFault(expected[key.kind]())
  }
  return value
}

function accepts(key: Extract<Key, { kind: 'choice' | 'text' | 'path' }>, value: string): boolean {
  switch (key.kind) {
    case 'choice':
      return key.choices.includes(value)
    case 'text':
      return key.pattern.test(value)
    case 'path':
      return !value.includes('\0') && (key.default === '' || value !== '')
  }
}
