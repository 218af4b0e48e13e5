/**
 * Properties of the repository itself that no linter knows: docs and code say the same thing.
 *
 * How: read the files as text, compare two lists. A failure names what to add, and where.
 */

import assert from 'node:assert/strict'
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs'
import { it } from 'node:test'
import { camelName, KEYS } from '../../src/config/schema.ts'
import { ERROR_KINDS } from '../../src/lib/errors.ts'
import { renderConfiguration } from './reference-markdown.ts'
import { renderReference } from './reference-toml.ts'

const LINES_MAX = 400
const ARCHITECTURE_LINES_MAX = 300

const read = (path: string): string => readFileSync(path, 'utf8')
const lineCount = (path: string): number => read(path).trimEnd().split('\n').length

const sources = globSync(['src/**/*.ts', 'routes/**/*.ts'])
const modules = [
  ...sources,
  ...globSync([
    'client/*.ts',
    'web/src/**/*.{ts,tsx}',
    'cli/**/*.{ts,mjs}',
    'test/**/*.ts',
    'bench/**/*.ts',
    'scripts/*.mjs',
    '*.js',
    '.*.cjs',
  ]),
]
const documents = ['README.md', 'CONTRIBUTING.md', ...globSync('docs/**/*.md')]
const scripts = Object.keys(
  (JSON.parse(read('package.json')) as { scripts: Record<string, string> }).scripts,
)

it('docs/errors.md has one row for each error code, with its status', () => {
  const rows = [...read('docs/errors.md').matchAll(/^\| `([a-z_]+)` +\| (\d{3}) +\|/gm)]
  const documented = rows.map(([, code, status]) => `${String(code)} ${String(status)}`)
  const declared = Object.entries(ERROR_KINDS).map(([code, kind]) => `${code} ${kind.status}`)
  assert.deepEqual(documented.sort(), declared.sort())
})

it('docs/errors.md says which errors go away by themselves', () => {
  const rows = [...read('docs/errors.md').matchAll(/^\| `([a-z_]+)` +\| \d{3} +\| (yes|no) +\|/gm)]
  const documented = rows.map(([, code, retry]) => `${String(code)} ${String(retry)}`)
  const declared = Object.entries(ERROR_KINDS).map(
    ([code, kind]) => `${code} ${kind.retryable ? 'yes' : 'no'}`,
  )
  assert.deepEqual(documented.sort(), declared.sort())
})

it('docs/ARCHITECTURE.md names every folder of src/ and stays readable in one sitting', () => {
  const architecture = read('docs/ARCHITECTURE.md')
  const folders = readdirSync('src', { withFileTypes: true }).filter((entry) => entry.isDirectory())
  for (const { name } of folders) {
    assert.ok(architecture.includes(`\`src/${name}/\``), `add src/${name}/ to the map`)
  }
  assert.ok(lineCount('docs/ARCHITECTURE.md') <= ARCHITECTURE_LINES_MAX)
})

it('lakehouse.toml describes every key of the schema with its default', () => {
  const current = read('lakehouse.toml')
  assert.equal(current, renderReference(), 'run: node test/tidy/reference-toml.ts')
  for (const { name } of KEYS) assert.match(current, new RegExp(`^${name} = `, 'm'))
})

it('every configuration key does something: code outside src/config reads it', () => {
  const code = sources
    .filter((file) => !file.startsWith('src/config/'))
    .map(read)
    .join('\n')
  const idle = KEYS.filter(({ name }) => !new RegExp(`\\b${camelName(name)}\\b`).test(code))
  assert.deepEqual(
    idle.map(({ section, name }) => `${section}.${name}`),
    [],
  )
})

it('every module opens with a comment that says what it is for', () => {
  const bare = modules.filter((file) => !/^(#!.*\n)?\/\*\*/.test(read(file)))
  assert.deepEqual(bare, [])
})

it('no file of src/ or routes/ is longer than can be held in mind', () => {
  const long = sources.filter((file) => lineCount(file) > LINES_MAX)
  assert.deepEqual(long, [])
})

it('nothing unfinished is left behind', () => {
  const mark = new RegExp(`\\b(${['FIX', 'ME|XX', 'X|TO', 'DO(?!\\(#\\d+\\))'].join('')})\\b`)
  const marked = [...modules, ...documents].filter((file) => mark.test(read(file)))
  assert.deepEqual(marked, [])
})

it('every npm script that a document names exists, and every script is described', () => {
  const named = documents.flatMap((file) =>
    [...read(file).matchAll(/(?:`|^|&& )npm (?:run )?([a-z:-]+)/gm)].map((match) => match[1]),
  )
  const builtIn = ['ci', 'install', 'rebuild']
  const missing = named.filter((name) => ![...builtIn, ...scripts].includes(name ?? ''))
  assert.ok(named.length > 10, 'documents name scripts')
  assert.deepEqual(missing, [])
  const contributing = read('CONTRIBUTING.md')
  const undescribed = scripts.filter((name) => !contributing.includes(`\`${name}\``))
  assert.deepEqual(undescribed, [])
})

it('every file that a document links to exists', () => {
  const broken = documents.flatMap((file) => {
    const folder = file.includes('/') ? file.slice(0, file.lastIndexOf('/') + 1) : ''
    return [...read(file).matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)]
      .map((match) => match[1] ?? '')
      .filter((link) => !existsSync(folder + link))
      .map((link) => `${file}: ${link}`)
  })
  assert.deepEqual(broken, [])
})

it('the README sets up and runs with exactly the two commands', () => {
  const readme = read('README.md')
  assert.equal(readme.match(/npm ci && npm start/g)?.length, 1)
  assert.equal(readme.match(/npm ci && npm test/g)?.length, 1)
  assert.match(read('.ci/run'), /npm ci && npm run check/)
})

it('docs/configuration.md has every key of the schema with its default and its range', async () => {
  const current = read('docs/configuration.md')
  assert.equal(current, await renderConfiguration(), 'run: node test/tidy/reference-markdown.ts')
  for (const { name } of KEYS) assert.match(current, new RegExp(`^\\| \`${name}\` +\\|`, 'm'))
})
