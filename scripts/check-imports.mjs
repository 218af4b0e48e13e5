/**
 * Checks the import rows and doors of `.dependency-cruiser.cjs`.
 *
 * dependency-cruiser ends with 0 when it reads no module at all (an unsuitable TypeScript does
 * that), so the number of modules it read is compared with the number of source files.
 */

import { globSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cruise, format } from 'dependency-cruiser'
import extractTsConfig from 'dependency-cruiser/config-utl/extract-ts-config'

const { forbidden, options } = createRequire(import.meta.url)('../.dependency-cruiser.cjs')
const folders = ['src', 'routes', 'client', 'cli', 'test', 'bench', 'web/src']
const files = folders
  .flatMap((folder) => globSync(`${folder}/**/*.{ts,tsx}`))
  // Types of files that are not code: nothing in it is read.
  .filter((file) => !file.endsWith('.d.ts'))

const { output } = await cruise(
  folders,
  { ...options, ruleSet: { forbidden }, validate: true },
  undefined,
  { tsConfig: extractTsConfig('tsconfig.json') },
)
const read = new Set(output.modules.map((module) => module.source))
const unread = files.filter((file) => !read.has(file))
if (files.length === 0 || unread.length > 0) {
  console.error(`dependency-cruiser did not read ${unread.length} of ${files.length} files.`)
  process.exit(1)
}

const rows = forbidden.filter(({ name }) => name.startsWith('row: ')).map(({ from }) => from.path)
const homeless = files
  .filter((file) => file.startsWith('src/') && file !== 'src/server.ts')
  .filter((file) => !rows.some((path) => new RegExp(path).test(file)))
if (homeless.length > 0) {
  console.error(`These files stand in no row of .dependency-cruiser.cjs: ${homeless.join(', ')}`)
  process.exit(1)
}

const report = await format(output, { outputType: 'err' })
console.log(report.output)
process.exit(report.exitCode)
