/**
 * Reads the configuration: defaults, then `lakehouse.toml`, then the environment.
 *
 * Nothing is guessed: an unknown key, a wrong type or a value out of range ends the start with
 * `invalid_config`, which names the key, its place and what was expected. Where a name is unknown,
 * the nearest known one is named too.
 */

import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { closest } from 'fastest-levenshtein'
import { parse, TomlError } from 'smol-toml'
import { VectordError } from '../lib/errors.ts'
import { checkTogether } from './check-together.ts'
import { ConfigFault, fromEnvironment, fromToml, type Value } from './parse-value.ts'
import { camelName, environmentName, KEYS, type Config, type PlacedKey } from './schema.ts'

const CONFIG_FILE = 'lakehouse.toml'

/** Names that start like keys and are none: the place of the file, and what tools read. */
const OTHER_VARIABLES = /^VECTORD_(CONFIG|MARCH|URL|API_KEY|(TEST|BENCH)_.*)$/

const TOML_DEPTH_MAX = 32

export interface ConfigSources {
  /** The file; without it VECTORD_CONFIG names one, else `lakehouse.toml` in `cwd` if it exists. */
  readonly path?: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** The folder that relative paths start from. */
  readonly cwd: string
}

/** @throws {VectordError} `invalid_config` */
export function loadConfig({ path, env, cwd }: ConfigSources): Config {
  const file = findFile(path ?? env['VECTORD_CONFIG'], cwd)
  const text = file === null ? '' : readText(file)
  return parseConfig(text, { file: file ?? CONFIG_FILE, env, cwd })
}

export interface ParseContext extends Omit<ConfigSources, 'path'> {
  /** What messages call the file. */
  readonly file: string
}

/** As `loadConfig`, for a text that was read. @throws {VectordError} `invalid_config` */
export function parseConfig(text: string, { file, env, cwd }: ParseContext): Config {
  const values = new Map<PlacedKey, Value>(KEYS.map((placed) => [placed, placed.key.default]))
  readToml(text, file, values)
  readEnvironment(env, values)
  const config = assemble(values, cwd)
  checkTogether(config)
  return config
}

function findFile(named: string | undefined, cwd: string): string | null {
  if (named !== undefined && named !== '') return resolve(cwd, named)
  const usual = join(cwd, CONFIG_FILE)
  return existsSync(usual) ? usual : null
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new VectordError('invalid_config', `The configuration file ${file} cannot be read.`, {
      details: { file },
      cause,
    })
  }
}

function readToml(text: string, file: string, values: Map<PlacedKey, Value>): void {
  for (const [section, table] of sectionsOf(parseToml(text, file))) {
    if (!KEYS.some((placed) => placed.section === section)) {
      throw unknown(file, section, lineOf(text, section, null))
    }
    if (!isTable(table)) {
      throw fault(`${section} must be a section: [${section}].`, { key: section, file })
    }
    for (const [name, value] of Object.entries(table)) {
      const line = lineOf(text, section, name)
      const placed = KEYS.find((known) => known.section === section && known.name === name)
      if (placed === undefined) throw unknown(file, `${section}.${name}`, line)
      values.set(
        placed,
        read(`${file}${at(line)}: ${section}.${name}`, placed, () => {
          return fromToml(placed.key, value)
        }),
      )
    }
  }
}

/** A section within another, `[embedders.ollama]`, stands by itself in the table of keys. */
function sectionsOf(document: Record<string, unknown>): [string, unknown][] {
  return Object.entries(document).flatMap(([section, table]) => {
    if (!isTable(table)) return [[section, table]]
    const isInner = (name: string): boolean =>
      KEYS.some((placed) => placed.section === `${section}.${name}`)
    const entries = Object.entries(table)
    const inner = entries.filter(([name]) => isInner(name))
    return [
      [section, Object.fromEntries(entries.filter(([name]) => !isInner(name)))],
      ...inner.map(([name, value]): [string, unknown] => [`${section}.${name}`, value]),
    ]
  })
}

function parseToml(text: string, file: string): Record<string, unknown> {
  try {
    return parse(text, {
      integersAsBigInt: true,
      unsafeKeyBehaviour: 'throw',
      maxDepth: TOML_DEPTH_MAX,
    })
  } catch (cause) {
    // Whatever the parser trips over is a fault of the text: it has no other input.
    const line = cause instanceof TomlError ? cause.line : null
    const why = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : ''
    throw new VectordError('invalid_config', `${file}${at(line)} is not TOML: ${why}`, {
      details: { file, line },
      cause,
    })
  }
}

function readEnvironment(env: ConfigSources['env'], values: Map<PlacedKey, Value>): void {
  const known = new Map(KEYS.map((placed) => [environmentName(placed), placed]))
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith('VECTORD_') || OTHER_VARIABLES.test(variable)) continue
    const placed = known.get(variable)
    if (placed === undefined) {
      const nearest = closest(variable, [...known.keys()])
      throw fault(`The environment variable ${variable} is unknown; the nearest is ${nearest}.`, {
        key: variable,
        nearest,
      })
    }
    values.set(
      placed,
      read(variable, placed, () => fromEnvironment(placed.key, value ?? '')),
    )
  }
}

/** Names the place of a value that cannot be used. */
function read(place: string, placed: PlacedKey, parseValue: () => Value): Value {
  try {
    return parseValue()
  } catch (error) {
    if (!(error instanceof ConfigFault)) throw error
    throw fault(`${place} must be ${error.expected}.`, {
      key: `${placed.section}.${placed.name}`,
      expected: error.expected,
    })
  }
}

function assemble(values: ReadonlyMap<PlacedKey, Value>, cwd: string): Config {
  const sections: Record<string, Record<string, Value>> = {}
  for (const [{ section, name, key }, value] of values) {
    const isPath = key.kind === 'path' && typeof value === 'string' && value !== ''
    const keys = (sections[section] ??= {})
    keys[camelName(name)] = isPath ? resolve(cwd, value) : freezeList(value)
  }
  for (const keys of Object.values(sections)) Object.freeze(keys)
  // Every key of the table was given a value of its kind above: this is where they get their types.
  return Object.freeze(sections) as unknown as Config
}

function freezeList(value: Value): Value {
  return typeof value === 'object' ? Object.freeze([...value]) : value
}

function unknown(file: string, key: string, line: number | null): VectordError {
  const names = KEYS.map(({ section, name }) => `${section}.${name}`)
  const sections = [...new Set(KEYS.map(({ section }) => section))]
  // A key without a section is most likely one of the keys; a bare word may be a section too.
  const nearest = closest(key, key.includes('.') ? names : [...names, ...sections])
  return fault(`${file}${at(line)}: ${key} is unknown; the nearest known key is ${nearest}.`, {
    key,
    file,
    line,
    nearest,
  })
}

/**
 * The line of a key, for a message: TOML parsers do not keep it. Null where the key is written in
 * a way that this does not see (quoted, inline).
 */
function lineOf(text: string, section: string, name: string | null): number | null {
  const wanted = name === null ? section : `${section}.${name}`
  let prefix = ''
  for (const [index, line] of text.split('\n').entries()) {
    const header = /^\s*\[+\s*([A-Za-z0-9_.-]+)\s*\]/.exec(line)?.[1]
    if (header !== undefined) prefix = `${header}.`
    const key = /^\s*([A-Za-z0-9_.-]+?)\s*=/.exec(line)?.[1]
    if (header === wanted || (key !== undefined && prefix + key === wanted)) return index + 1
  }
  return null
}

function at(line: number | null): string {
  return line === null ? '' : `, line ${line}`
}

function isTable(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
  )
}

function fault(message: string, details: Record<string, string | number | null>): VectordError {
  return new VectordError('invalid_config', message, { details })
}
