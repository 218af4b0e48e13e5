/**
 * A real PostgreSQL for tests, of Debian's packages, in a temporary folder and on loopback alone.
 *
 * It refuses to run as root: then it runs as nobody, and where nobody may not read root's cache, from
 * links to the packages beside its data. `VECTORD_TEST_POSTGRES` names a folder with the unpacked
 * packages, if they are not to be fetched.
 */

import { execFile } from 'node:child_process'
import {
  appendFile,
  chmod,
  chown,
  copyFile,
  mkdir,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { debianLibraries, find } from './debian-packages.ts'
import {
  ACCOUNT,
  type Command,
  type Place,
  runCommand,
  type SqlServer,
  type SqlServerProgram,
  startSqlServer,
} from './sql-server.ts'

const run = promisify(execFile)

const NOBODY = { uid: 65534, gid: 65534 }
const PROGRAM = 'usr/lib/postgresql/*/bin/postgres'

const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  dynamic_shared_memory_type: 'mmap',
  fsync: 'off',
  jit: 'off',
  shared_buffers: '64MB',
  ssl_cert_file: 'cert.pem',
  ssl_key_file: 'key.pem',
}

const POSTGRES: SqlServerProgram = {
  scheme: 'postgresql',
  debian: {
    name: 'postgresql',
    packages: ['postgresql'],
    program: PROGRAM,
    ownSuite: true,
    // Its compiler of queries, which is switched off, and the tools of an installed system.
    without: 'libllvm[^/]*|libz3-[0-9]+|postgresql-[^/_]*common|lib[^/]*-perl|ssl-cert',
  },
  variable: 'VECTORD_TEST_POSTGRES',
  prepare,
  command: (place) => command(place, 'postgres', ['-D', join(place.folder, 'data')]),
  readyLine: /ready to accept connections/,
  // An immediate shutdown: its processes end, and it recovers from its log at the next start.
  stopSignal: 'SIGQUIT',
}

/** @returns null where none can be had, see `startSqlServer`. */
export function startPostgres(): Promise<SqlServer | null> {
  return startSqlServer(POSTGRES)
}

async function prepare(place: Place): Promise<void> {
  const { folder, hasTls } = place
  const data = join(folder, 'data')
  await placePrograms(place)
  await mkdir(data, { mode: 0o700 })
  const password = join(folder, 'password')
  await writeFile(password, ACCOUNT.password)
  if (isRoot()) for (const path of [data, password]) await chown(path, NOBODY.uid, NOBODY.gid)
  const settings = ['--no-sync', '--encoding=UTF8', '--locale=C.UTF-8', '--auth=scram-sha-256']
  const account = [`--username=${ACCOUNT.user}`, `--pwfile=${password}`]
  await runCommand(await command(place, 'initdb', ['-D', data, ...settings, ...account]))
  if (hasTls) await placeCertificates(folder, data)
  const lines = Object.entries({ ...SETTINGS, port: place.port, ssl: hasTls ? 'on' : 'off' })
  const file = lines.map(([name, value]) => `${name} = '${value}'\n`).join('')
  await appendFile(join(data, 'postgresql.conf'), file)
  const single = await command(place, 'postgres', ['--single', '-D', data, 'postgres'])
  await runCommand({ ...single, input: 'CREATE DATABASE shop;\n' })
}

/** Puts the programs where `command` looks for them: under `folder/root`. */
async function placePrograms(place: Place): Promise<void> {
  const root = join(place.folder, 'root')
  await chmod(place.folder, 0o755)
  await symlink(place.root, root)
  if (!isRoot()) return
  const mayRun = await runCommand(await command(place, 'postgres', ['--version'])).then(
    () => true,
    () => false,
  )
  if (mayRun) return
  await unlink(root)
  await run('cp', ['-al', place.root, root]).catch(() => run('cp', ['-a', place.root, root]))
}

/** It takes a key only from a file that is its own and closed to others. */
async function placeCertificates(folder: string, data: string): Promise<void> {
  for (const name of ['cert', 'key']) {
    const path = join(data, `${name}.pem`)
    await copyFile(join(folder, `${name}.pem`), path)
    await chmod(path, 0o600)
    if (isRoot()) await chown(path, NOBODY.uid, NOBODY.gid)
  }
}

async function command(place: Place, name: string, args: readonly string[]): Promise<Command> {
  const root = join(place.folder, 'root')
  const postgres = await find(root, PROGRAM)
  if (postgres === null) throw new Error(`${place.root} holds no ${PROGRAM}`)
  const own = { LD_LIBRARY_PATH: debianLibraries(root), TZ: 'GMT', LC_ALL: 'C' }
  const env = { PATH: process.env['PATH'], ...own }
  return { program: join(dirname(postgres), name), args, env, ...(isRoot() ? NOBODY : {}) }
}

function isRoot(): boolean {
  return process.getuid?.() === 0
}
