/**
 * A real MariaDB for tests, of Debian's packages, in a temporary folder and on loopback alone.
 *
 * `VECTORD_TEST_MARIADB` names a folder with the unpacked packages, if they are not to be fetched.
 */

import { mkdir, readFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { debianLibraries } from './debian-packages.ts'
import {
  ACCOUNT,
  type Command,
  type Place,
  runCommand,
  type SqlServer,
  type SqlServerProgram,
  startSqlServer,
} from './sql-server.ts'

const MARIADB: SqlServerProgram = {
  scheme: 'mysql',
  debian: {
    name: 'mariadb',
    packages: ['mariadb-server-core'],
    program: 'usr/sbin/mariadbd',
    ownSuite: true,
  },
  variable: 'VECTORD_TEST_MARIADB',
  prepare,
  command: ({ root, folder, port, hasTls }) => {
    const { args, ...command } = daemon(root, folder)
    const own = [`--port=${port}`, '--bind-address=127.0.0.1', `--socket=${join(folder, 'sock')}`]
    const tls = ['cert', 'key', 'ca'].map((name) => `--ssl-${name}=${join(folder, name)}.pem`)
    return { ...command, args: [...args, ...own, ...(hasTls ? tls : []), '--skip-name-resolve'] }
  },
  readyLine: /ready for connections/,
  stopSignal: 'SIGKILL',
}

/** @returns null where none can be had, see `startSqlServer`. */
export function startMariadb(): Promise<SqlServer | null> {
  return startSqlServer(MARIADB)
}

async function prepare({ root, folder }: Place): Promise<void> {
  await mkdir(join(folder, 'data', 'mysql'), { recursive: true })
  const share = join(root, 'usr/share/mysql')
  const tables = ['mysql_system_tables.sql', 'mysql_system_tables_data.sql']
  const account = `'${ACCOUNT.user}'@'127.0.0.1' IDENTIFIED BY '${ACCOUNT.password}'`
  // One statement a line: that is how it reads them when it makes its own tables.
  const statements = [
    'CREATE DATABASE IF NOT EXISTS mysql;',
    'USE mysql;',
    'SET @auth_root_socket=NULL;',
    ...(await Promise.all(tables.map((name) => readFile(join(share, name), 'utf8')))),
    'CREATE DATABASE shop CHARACTER SET utf8mb4;',
    'FLUSH PRIVILEGES;',
    `GRANT ALL ON *.* TO ${account} WITH GRANT OPTION;`,
  ]
  const { args, ...command } = daemon(root, folder)
  const input = `${statements.join('\n')}\n`
  await runCommand({ ...command, args: [...args, '--bootstrap'], input })
}

function daemon(root: string, folder: string): Command {
  const share = join(root, 'usr/share/mysql')
  return {
    program: join(root, MARIADB.debian.program),
    args: [
      ...['--no-defaults', `--datadir=${join(folder, 'data')}`, `--lc-messages-dir=${share}`],
      ...[`--character-sets-dir=${join(share, 'charsets')}`, `--user=${userInfo().username}`],
      ...['--innodb-flush-log-at-trx-commit=0', '--innodb-flush-method=nosync', '--skip-log-bin'],
      ...['--innodb-buffer-pool-size=64M', `--tmpdir=${folder}`, '--log-warnings=0'],
    ],
    env: { PATH: process.env['PATH'], LD_LIBRARY_PATH: debianLibraries(root) },
  }
}
