/**
 * The tables of docs/configuration.md, made from the table of keys.
 *
 * What stands below the heading `## Every key` is this text: `node test/tidy/reference-markdown.ts`
 * writes it again after a change of the table, and the tidy test fails where that was forgotten.
 */

import { readFileSync, writeFileSync } from 'node:fs'
import { format, resolveConfig } from 'prettier'
import { KEYS, type PlacedKey } from '../../src/config/schema.ts'
import { literal, rangeOf, SECTIONS } from './reference-toml.ts'

const FILE = 'docs/configuration.md'
const HEADING = '\n## Every key\n'
const HEAD = '| key | default | what it may be | what it does |\n| --- | --- | --- | --- |\n'

/** The whole document: its own text, and the tables as they should be. */
export async function renderConfiguration(): Promise<string> {
  const [own = ''] = readFileSync(FILE, 'utf8').split(HEADING)
  const sections = Object.entries(SECTIONS).map(([section, about]) => {
    const keys = KEYS.filter((placed) => placed.section === section)
    return `### \`[${section}]\`\n\n${about}\n\n${HEAD}${keys.map(rowOf).join('')}`
  })
  const text = [own, HEADING, ...sections].join('\n')
  return format(text, { ...(await resolveConfig(FILE)), parser: 'markdown' })
}

function rowOf({ name, key }: PlacedKey): string {
  const range = rangeOf(key).replace(/\.$/, '')
  const cells = [`\`${name}\``, `\`${literal(key.default)}\``, range, key.effect]
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`
}

if (import.meta.main) writeFileSync(FILE, await renderConfiguration())
