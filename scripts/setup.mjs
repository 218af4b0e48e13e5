/**
 * Builds the hnswlib addon for this machine's CPU, and the pages of the dashboard; `npm ci` runs it
 * after the packages are there.
 *
 * The package compiles itself without AVX, which costs a third of the search speed at 768
 * dimensions. Here its Makefile runs once more with `-O3 -march=…`, and the result is tried in a
 * process of its own before it stays; otherwise the package's own build is put back. What was
 * built for is written beside it, so that a second run has nothing to do and the service can say
 * which instruction set is in use.
 *
 * VECTORD_MARCH overrides the machine, for images that run elsewhere: `x86-64-v3`.
 *
 * The pages (web/) are built by `build-web.mjs`; the service runs without them too, so a build that
 * fails is told and no error.
 *
 * This runs before Node 24 is known to be there: it must work on Node 20.
 */

import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { arch, cpus } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const COMPILE_TIMEOUT_MS = 600_000
const MISSING_TOOLS =
  'Install python3, make and g++ (Debian: apt-get install -y python3 make g++), then run: npm ci'

/** A graph of two points: it runs the distance code that the compiler was let loose on. */
const TRIAL = `
  const { HierarchicalNSW } = require('hnswlib-node')
  for (const space of ['l2', 'ip', 'cosine']) {
    const graph = new HierarchicalNSW(space, 100)
    graph.initIndex(2)
    graph.addPoint(Array.from({ length: 100 }, (_, i) => Math.sin(i)), 0)
    graph.addPoint(Array.from({ length: 100 }, (_, i) => Math.cos(i)), 1)
    const found = graph.searchKnn(Array.from({ length: 100 }, (_, i) => Math.cos(i)), 1)
    if (found.neighbors[0] !== 1) process.exit(1)
  }
`

process.chdir(ROOT)
main()
buildPages()

function main() {
  const folder = findPackage()
  const build = join(folder, 'build')
  const addon = join(build, 'Release', 'addon.node')
  const record = join(build, 'vectord-cpu.json')
  const asked = process.env.VECTORD_MARCH || 'native'
  const cpu = cpuName()
  const before = existsSync(addon) ? readRecord(record) : null

  if (before !== null && isBuiltFor(before, { asked, cpu, addon })) return
  if (!existsSync(addon) || !existsSync(join(build, 'Makefile'))) buildAsThePackageDoes()
  if (!existsSync(addon)) fail(`The hnswlib-node addon could not be compiled. ${MISSING_TOOLS}`)

  const problem = rebuild(build, addon, asked)
  if (problem !== null) {
    console.warn(
      `The search addon could not be built for march ${asked} (${problem}). The build that was` +
        ' there is used: it may search slower, and every function is there.',
    )
  }
  if (!trialRuns()) fail(`The hnswlib-node addon does not load on this machine. ${MISSING_TOOLS}`)
  const march = problem === null ? asked : (before?.march ?? 'generic')
  const set = instructionSet(march)
  const bytes = statSync(addon).size
  writeFileSync(record, `${JSON.stringify({ asked, march, cpu, instruction_set: set, bytes })}\n`)
  console.log(`hnswlib-node: built for march ${march}, instruction set ${set}`)
}

/** With the Node that the package brings, where it is there. */
function buildPages() {
  if (!existsSync('web')) return
  const pinned = join('node_modules', '.bin', 'node')
  const node = existsSync(pinned) ? pinned : process.execPath
  const built = spawnSync(node, [join('scripts', 'build-web.mjs')], {
    stdio: 'inherit',
    timeout: COMPILE_TIMEOUT_MS,
  })
  if (built.status === 0) return
  console.warn('The dashboard could not be built: the service runs, and its pages are missing.')
}

/** The folder of the package; ends the process where it was not installed. */
function findPackage() {
  try {
    return dirname(createRequire(import.meta.url).resolve('hnswlib-node/package.json'))
  } catch (error) {
    return fail(`The package hnswlib-node is not installed. Run: npm ci (${error.code})`)
  }
}

/** What the last run wrote beside the addon, or null. */
function readRecord(record) {
  if (!existsSync(record)) return null
  try {
    return JSON.parse(readFileSync(record, 'utf8'))
  } catch (error) {
    console.warn(`${record} is not readable (${error.message}); the addon is built again.`)
    return null
  }
}

/** `native` means the CPU that is here; a named march is the same wherever it was built. */
function isBuiltFor(before, { asked, cpu, addon }) {
  const sameCpu = asked !== 'native' || before.cpu === cpu
  return before.asked === asked && sameCpu && before.bytes === statSync(addon).size
}

/** Where install scripts were blocked or the build folder was lost. */
function buildAsThePackageDoes() {
  const npm = process.env.npm_execpath
  // The Node that runs npm has its headers at hand; the pinned one may have to download them.
  const [command, first] =
    npm === undefined ? ['npm', []] : [process.env.npm_node_execpath ?? process.execPath, [npm]]
  spawnSync(command, [...first, 'rebuild', 'hnswlib-node', '--foreground-scripts'], {
    stdio: 'inherit',
    timeout: COMPILE_TIMEOUT_MS,
    env: { ...process.env, npm_config_allow_scripts: 'hnswlib-node' },
  })
}

/** @returns null when the addon in place is the new one and runs, else why it is the old one. */
function rebuild(build, addon, march) {
  const backup = `${addon}.generic`
  copyFileSync(addon, backup)
  // "native" is another CPU on another machine, which make cannot see: what is there must go.
  rmSync(join(build, 'Release', 'obj.target'), { recursive: true, force: true })
  const made = spawnSync('make', ['-C', build, 'BUILDTYPE=Release', 'addon'], {
    encoding: 'utf8',
    timeout: COMPILE_TIMEOUT_MS,
    env: { ...process.env, CXXFLAGS: `-O3 -march=${march}` },
  })
  let problem = null
  if (made.error !== undefined) problem = made.error.message
  else if (made.status !== 0) problem = lastLine(made.stderr)
  else if (!trialRuns()) problem = 'it does not run on this CPU'
  if (problem !== null) copyFileSync(backup, addon)
  rmSync(backup)
  return problem
}

function trialRuns() {
  return spawnSync(process.execPath, ['-e', TRIAL], { cwd: ROOT, timeout: 30_000 }).status === 0
}

/** What hnswlib's distance code was compiled to, by the compiler's own word. */
function instructionSet(march) {
  try {
    const flags = march === 'generic' ? [] : [`-march=${march}`]
    const defines = execFileSync(
      process.env.CXX || 'g++',
      [...flags, '-dM', '-E', '-x', 'c++', '-'],
      {
        encoding: 'utf8',
        input: '',
        stdio: ['pipe', 'pipe', 'ignore'],
      },
    )
    if (defines.includes('__AVX512F__')) return 'avx512'
    if (defines.includes('__AVX2__')) return 'avx2'
    if (defines.includes('__AVX__')) return 'avx'
    if (defines.includes('__SSE__')) return 'sse'
    return 'scalar'
  } catch (error) {
    console.warn(`The compiler did not say its instruction set: ${error.message}`)
    return 'unknown'
  }
}

function cpuName() {
  return `${arch()} ${cpus()[0]?.model.trim() ?? 'unknown'}`
}

function lastLine(text) {
  const lines = text.trim().split('\n')
  return lines.find((line) => /error/i.test(line)) ?? lines.at(-1) ?? 'make failed'
}

function fail(sentence) {
  console.error(sentence)
  process.exit(1)
}
