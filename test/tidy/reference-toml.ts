/**
 * The annotated `lakehouse.toml`, made from the table of keys.
 *
 * The file in the root is this text: `node test/tidy/reference-toml.ts` writes it again after a
 * change of the table, and the tidy test fails where that was forgotten.
 */

import { writeFileSync } from 'node:fs'
import type { Key } from '../../src/config/key-kinds.ts'
import { environmentName, KEYS, SCHEMA, type PlacedKey } from '../../src/config/schema.ts'

const WIDTH = 100

const HEADER = `# The configuration of vectord: every key with its default, its range and its effect.
#
# The service reads this file from the folder that it is started in; VECTORD_CONFIG names another.
# A key that is left out has its default. An unknown key, a wrong type or a value out of range ends
# the start with a message that names it. An environment variable overrides the file:
# VECTORD_<SECTION>_<KEY>, lists divided by commas. Relative paths start in that folder too.
`

/** What each section is about, in the order of the file. */
export const SECTIONS: Readonly<Record<keyof typeof SCHEMA, string>> = {
  server: 'Listening, and what a request may cost.',
  storage: 'Where this server keeps what is its own.',
  primary:
    'The bucket that indexes live in unless they name another. A local one is a folder under storage.root.',
  rescue: 'A second bucket with copies, that reads fall back to. Writes never go there.',
  buckets: 'All buckets, also those that are registered over HTTP.',
  auth: 'Who may do what. Without keys everybody who reaches the loopback address is an admin.',
  log: 'The write-ahead log: a write is answered when it is durable here.',
  checkpoint: 'Snapshots of an index in its bucket; they shorten the log that a start replays.',
  compaction: 'Dead points leave the graph, the memory of the cores and the bucket.',
  builders: 'The processes that build and measure graphs beside serving, when there is work.',
  generations: 'Graphs of an index: the one that searches use, and older and tried ones.',
  drops: 'The worker that deletes what nothing needs any more.',
  dataplane: 'The processes (cores) that hold the graphs.',
  search: 'Searches.',
  recall: 'How good answers are: measured on some of the searches, and held by their ef.',
  agent:
    'The autotune agent; what [agent] says holds for every index that has no settings of its own.',
  lance: 'Tables of the backend lance, which lie in their buckets and are kept in shape here.',
  embedders:
    'What makes vectors of texts. "local" is built in; "ollama" and "openai" exist where their url and model are set.',
  'embedders.ollama': 'An Ollama server: it embeds, and it holds the models of profiles.',
  'embedders.openai': 'Any server that speaks the embeddings protocol of OpenAI.',
  projection: 'How texts that came without a vector are embedded.',
  ingest: 'Data from databases and files into datasets and indexes.',
  limits: 'Bounds on what one request or one server holds; each is answered by name.',
  logging: 'Log lines on standard output.',
  tracing: 'What requests do and how long each part takes, for a collector of OpenTelemetry.',
}

export function renderReference(): string {
  const sections = Object.entries(SECTIONS).map(([section, about]) => {
    const keys = KEYS.filter((placed) => placed.section === section).map(renderKey)
    return `${comment(about)}[${section}]\n\n${keys.join('\n')}`
  })
  return [HEADER, ...sections].join('\n')
}

function renderKey(placed: PlacedKey): string {
  const { name, key } = placed
  const facts = [`Default: ${literal(key.default)}.`, rangeOf(key), environmentName(placed)]
  return `${comment(key.effect)}${comment(facts.join(' '))}${name} = ${literal(key.default)}\n`
}

/** What a value may be, in words. */
export function rangeOf(key: Key): string {
  switch (key.kind) {
    case 'int':
    case 'number':
      return `Unit: ${key.unit}${inWords(key)}. Range: ${key.min} to ${key.max}.`
    case 'bool':
      return 'Values: true, false.'
    case 'choice':
      return `Values: ${key.choices.join(', ')}.`
    case 'text':
      return `Form: ${key.form}.`
    case 'path':
      return `Form: a path${key.default === '' ? ', or empty' : ''}.`
    case 'texts':
      return `Form: a list of ${key.form}.`
  }
}

/** Large numbers of bytes and milliseconds are hard to read as such. */
function inWords(key: Key & { kind: 'int' | 'number' }): string {
  const mib = key.default / 1024 / 1024
  if (key.unit === 'bytes' && mib >= 1) return ` (${mib} MiB)`
  if (key.unit === 'ms' && key.default >= 10_000) return ` (${key.default / 1000} s)`
  return ''
}

export function literal(value: Key['default']): string {
  return JSON.stringify(value)
}

/** Comment lines that fit the width. */
function comment(text: string): string {
  const lines = ['#']
  for (const word of text.split(' ')) {
    const last = lines.at(-1) ?? ''
    if (last.length + 1 + word.length > WIDTH) lines.push(`# ${word}`)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines.map((line) => `${line}\n`).join('')
}

if (import.meta.main) writeFileSync('lakehouse.toml', renderReference())
