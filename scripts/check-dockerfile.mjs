/**
 * Checks the Dockerfile without an engine: `npm run check:docker`.
 *
 *     rules ─▶ each stage in a folder: COPY, RUN ─▶ CMD as another user ─▶ health, write, search
 *           ─▶ SIGTERM: exit 0
 *
 * A stage is a folder that stands for its root. COPY takes what the .dockerignore leaves; of RUN
 * the commands of npm and of files are run, apt-get is not: the compilers of this machine stand for
 * it. The base image is this machine with the Node that runs the check. A command that is not known
 * fails the check rather than being passed over.
 *
 *     --file <path>     another Dockerfile
 *     --modules <path>  takes these node_modules instead of running npm ci
 */

import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { clearTimeout, setTimeout } from 'node:timers'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import {
  brokenRules,
  environmentOf,
  execForm,
  healthCommand,
  ignoredBy,
  parseDockerfile,
} from './dockerfile.mjs'

const CONTEXT = dirname(dirname(fileURLToPath(import.meta.url)))
/** Stands for the user of the image where the check runs as root. */
const NOBODY = 65_534
const INSTALL_TIMEOUT_MS = 900_000
const START_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 60_000
const HEALTH_TIMEOUT_MS = 30_000

const { values: options } = parseArgs({
  options: {
    file: { type: 'string', default: join(CONTEXT, 'Dockerfile') },
    modules: { type: 'string' },
  },
})
const stages = parseDockerfile(fs.readFileSync(options.file, 'utf8'))
const faults = brokenRules(stages, {
  nodeVersion: JSON.parse(read('package.json')).devDependencies.node,
  port: Number(/^port = (\d+)$/m.exec(read('lakehouse.toml'))[1]),
})
if (faults.length > 0) fail(faults.join('\n'))

const work = fs.mkdtempSync(join(tmpdir(), 'vectord-docker-'))
fs.chmodSync(work, 0o755)
try {
  const roots = new Map()
  for (const stage of stages) roots.set(stage.name, buildStage(stage, roots))
  await tryImage(stages.at(-1).steps, roots.get(stages.at(-1).name))
  console.log(`${relative(CONTEXT, options.file)}: built, healthy, wrote, found, ended with 0`)
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
} finally {
  fs.rmSync(work, { recursive: true, force: true, maxRetries: 5 })
}

/** @returns the folder that stands for the root of the stage. */
function buildStage({ name, steps }, roots) {
  const root = join(work, name)
  fs.mkdirSync(root)
  const state = { root, workdir: '/', env: {}, roots }
  for (const step of steps) {
    const { keyword, rest } = step
    if (keyword === 'ENV') Object.assign(state.env, environmentOf([step]))
    else if (keyword === 'WORKDIR') {
      state.workdir = rest
      fs.mkdirSync(inside(state, rest), { recursive: true })
    } else if (keyword === 'COPY') copy(state, step)
    else if (keyword === 'RUN') for (const command of rest.split('&&')) run(state, command.trim())
  }
  return root
}

/** Where a path of the stage lies here. */
function inside({ root, workdir }, path) {
  return join(root, resolve(workdir, path))
}

function copy(state, { line, rest }) {
  const words = rest.split(/\s+/)
  const from = /^--from=(.+)$/.exec(words[0])?.[1]
  if (words[0].startsWith('--') && from === undefined) {
    throw new Error(`line ${line}: this check does not know ${words[0]}`)
  }
  const paths = from === undefined ? words : words.slice(1)
  const target = paths.pop()
  const ignored = from === undefined ? ignoredBy(read('.dockerignore')) : () => false
  const base = from === undefined ? CONTEXT : state.roots.get(from)
  for (const path of paths) {
    const source = join(base, path)
    if (!fs.existsSync(source) || ignored(path)) {
      throw new Error(`line ${line}: COPY finds no ${path} in the build context`)
    }
    const isFolder = fs.statSync(source).isDirectory()
    // A file goes into a folder under its own name; of a folder the content goes.
    const name = !isFolder && target.endsWith('/') ? join(target, path.split('/').at(-1)) : target
    if (from !== undefined) link(source, inside(state, name))
    else {
      const filter = (file) => !ignored(relative(base, file))
      fs.cpSync(source, inside(state, name), { recursive: true, verbatimSymlinks: true, filter })
    }
  }
}

function run(state, command) {
  const [program, ...words] = command.split(/\s+/)
  const paths = words.filter((word) => !word.startsWith('-'))
  if (program === 'apt-get') return console.log(`not run, the image is this machine: ${command}`)
  if (program === 'npm' && words[0] === 'ci') return install(state, words)
  if (program === 'npm' && words[0] === 'prune') return prune(state, words)
  if (program === 'rm') {
    for (const path of paths) fs.rmSync(inside(state, path), { recursive: true, force: true })
    return undefined
  }
  if (program === 'mkdir') {
    for (const path of paths) fs.mkdirSync(inside(state, path))
    return undefined
  }
  if (program === 'chown') {
    if (isRoot())
      for (const path of paths.slice(1)) fs.chownSync(inside(state, path), NOBODY, NOBODY)
    return undefined
  }
  throw new Error(`this check does not know how to run: ${command}`)
}

function install(state, words) {
  if (options.modules !== undefined) {
    link(resolve(options.modules), inside(state, 'node_modules'))
    buildPages(state)
    return
  }
  console.log(`npm ${words.join(' ')}`)
  execFileSync('npm', [...words, '--prefer-offline'], {
    cwd: inside(state, '.'),
    env: { ...process.env, ...state.env, PATH: pathOfNode() },
    stdio: ['ignore', 'inherit', 'inherit'],
    timeout: INSTALL_TIMEOUT_MS,
  })
}

/** What `npm ci` does beyond the packages, but for the addon: the modules that are taken have it. */
function buildPages(state) {
  const script = inside(state, 'scripts/build-web.mjs')
  if (!fs.existsSync(script)) return
  execFileSync(process.execPath, [script], {
    cwd: inside(state, '.'),
    stdio: ['ignore', 'inherit', 'inherit'],
    timeout: INSTALL_TIMEOUT_MS,
  })
}

/** Of modules that were taken from elsewhere nothing goes: their files are not ours. */
function prune(state, words) {
  if (options.modules !== undefined) return
  console.log(`npm ${words.join(' ')}`)
  execFileSync('npm', words, {
    cwd: inside(state, '.'),
    env: { ...process.env, ...state.env, PATH: pathOfNode() },
    stdio: ['ignore', 'inherit', 'inherit'],
    timeout: INSTALL_TIMEOUT_MS,
  })
}

/** A copy by hard links where both lie on one disk: thousands of files, of which none is changed. */
function link(from, to) {
  const linked = spawnSync('cp', ['-al', from, to], { timeout: INSTALL_TIMEOUT_MS })
  if (linked.status === 0) return
  fs.rmSync(to, { recursive: true, force: true })
  fs.cpSync(from, to, { recursive: true, verbatimSymlinks: true })
}

/** Starts what the image starts, uses it, and ends it. */
async function tryImage(steps, root) {
  const last = (keyword) => steps.findLast((step) => step.keyword === keyword)?.rest
  const env = environmentOf(steps)
  const port = await freePort()
  const node = join(work, 'node')
  fs.copyFileSync(process.execPath, node)
  fs.chmodSync(node, 0o755)
  const image = {
    cwd: join(root, last('WORKDIR') ?? '/'),
    env: {
      ...env,
      PATH: `${work}:/usr/bin:/bin`,
      VECTORD_STORAGE_ROOT: join(root, env['VECTORD_STORAGE_ROOT']),
      VECTORD_SERVER_PORT: String(port),
      // A machine that is busy with something else is no overload.
      VECTORD_SERVER_SHED_EVENT_LOOP_DELAY_MS: '0',
    },
  }
  const health = healthCommand(last('HEALTHCHECK'))
  const service = await start(image, [
    ...(execForm(last('ENTRYPOINT') ?? '[]') ?? []),
    ...(execForm(last('CMD') ?? '[]') ?? []),
  ])
  try {
    await untilHealthy(service, () => runOnce(image, health) === 0)
    await writeAndSearch(`http://127.0.0.1:${port}`)
    await loadPages(`http://127.0.0.1:${port}`)
  } finally {
    await stop(service)
  }
  if (service.child.exitCode !== 0) {
    throw new Error(`SIGTERM ended it with ${String(service.child.exitCode)}\n${service.output()}`)
  }
  if (runOnce(image, health) === 0)
    throw new Error('HEALTHCHECK calls a service healthy that ended')
}

function start(image, command) {
  const [program, ...words] = asUser(command)
  const child = spawn(program, words, { ...image, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  const keep = (chunk) => {
    output = (output + String(chunk)).slice(-4000)
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  return { child, output: () => output }
}

function runOnce(image, command) {
  const [program, ...words] = asUser(command)
  return spawnSync(program, words, { ...image, timeout: HEALTH_TIMEOUT_MS }).status
}

/** Root gives its rights up; anybody else has none to give. */
function asUser(command) {
  if (!isRoot()) return command
  const id = String(NOBODY)
  return ['setpriv', '--reuid', id, '--regid', id, '--clear-groups', '--', ...command]
}

async function untilHealthy({ child, output }, isHealthy) {
  const endMs = Date.now() + START_TIMEOUT_MS
  while (!isHealthy()) {
    await sleep(200)
    if (child.exitCode !== null || Date.now() > endMs) {
      throw new Error(`the service of the image does not get healthy\n${output()}`)
    }
  }
}

async function writeAndSearch(url) {
  const ask = async (path, body) => {
    const headers = { 'content-type': 'application/json' }
    const reply = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
    const text = await reply.text()
    if (!reply.ok) throw new Error(`POST ${path}: ${reply.status} ${text}`)
    return JSON.parse(text)
  }
  await ask('/vectors/indexes', { name: 'trial', dimension: 3 })
  const points = [
    { id: 'x', vector: [1, 0, 0] },
    { id: 'y', vector: [0, 1, 0] },
  ]
  await ask('/vectors/indexes/trial/points', { points })
  const { results } = await ask('/vectors/indexes/trial/search', { vector: [0, 0.9, 0.1], k: 1 })
  if (results[0]?.id !== 'y') throw new Error(`the search found ${JSON.stringify(results)}`)
}

/** The image carries the built pages, and every file that they name. */
async function loadPages(url) {
  const page = await fetch(`${url}/dashboard`)
  const text = await page.text()
  const files = [...text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path)
  if (!page.ok || files.length === 0) throw new Error(`GET /dashboard: ${page.status} ${text}`)
  for (const path of files) {
    const file = await fetch(new URL(path, url))
    if (!file.ok) throw new Error(`GET ${path}: ${file.status}`)
    await file.arrayBuffer()
  }
}

async function stop({ child }) {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
  await exited
  clearTimeout(timer)
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

function pathOfNode() {
  return `${dirname(process.execPath)}:${process.env.PATH}`
}

function isRoot() {
  return process.getuid() === 0
}

function read(name) {
  return fs.readFileSync(join(CONTEXT, name), 'utf8')
}

function fail(text) {
  console.error(text)
  process.exit(1)
}
