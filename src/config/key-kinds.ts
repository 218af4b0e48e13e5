/**
 * The kinds of configuration keys: what a value may be, and how the table of keys writes one.
 */

interface Described {
  /** What changes when the key changes: one sentence, for the person who edits the file. */
  readonly effect: string
}

export interface IntKey extends Described {
  readonly kind: 'int'
  readonly default: number
  readonly min: number
  readonly max: number
  /** `ms`, `bytes`, `points`: what is counted. */
  readonly unit: string
}

/** A decimal number; a whole one is written without a point or with it. */
export interface NumberKey extends Described {
  readonly kind: 'number'
  readonly default: number
  readonly min: number
  readonly max: number
  readonly unit: string
}

export interface BoolKey extends Described {
  readonly kind: 'bool'
  readonly default: boolean
}

export interface ChoiceKey<Choice extends string = string> extends Described {
  readonly kind: 'choice'
  readonly default: Choice
  readonly choices: readonly Choice[]
}

export interface TextKey extends Described {
  readonly kind: 'text'
  readonly default: string
  readonly pattern: RegExp
  /** What the pattern asks for, in words. */
  readonly form: string
}

/** A file or folder; a relative one starts where the service was started. Empty means none. */
export interface PathKey extends Described {
  readonly kind: 'path'
  readonly default: string
}

export interface TextsKey extends Described {
  readonly kind: 'texts'
  readonly default: readonly string[]
  /** Each entry matches. */
  readonly pattern: RegExp
  readonly form: string
}

export type Key = IntKey | NumberKey | BoolKey | ChoiceKey | TextKey | PathKey | TextsKey

export function int(
  standard: number,
  [min, max]: readonly [number, number],
  unit: string,
  effect: string,
): IntKey {
  return { kind: 'int', default: standard, min, max, unit, effect }
}

export function number(
  standard: number,
  [min, max]: readonly [number, number],
  unit: string,
  effect: string,
): NumberKey {
  return { kind: 'number', default: standard, min, max, unit, effect }
}

export function bool(standard: boolean, effect: string): BoolKey {
  return { kind: 'bool', default: standard, effect }
}

export function choice<const Choice extends string>(
  standard: NoInfer<Choice>,
  choices: readonly Choice[],
  effect: string,
): ChoiceKey<Choice> {
  return { kind: 'choice', default: standard, choices, effect }
}

export function text(standard: string, rest: Omit<TextKey, 'kind' | 'default'>): TextKey {
  return { kind: 'text', default: standard, ...rest }
}

export function path(standard: string, effect: string): PathKey {
  return { kind: 'path', default: standard, effect }
}

export function texts(
  standard: readonly string[],
  rest: Omit<TextsKey, 'kind' | 'default'>,
): TextsKey {
  return { kind: 'texts', default: standard, ...rest }
}
