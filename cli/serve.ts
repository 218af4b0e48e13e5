/**
 * `vectord serve`: this process becomes the service.
 *
 * The program is replaced and not wrapped, so that signals reach it, its exit code is the one that
 * is seen, and the settings of `npm start` hold.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import manifest from '../package.json' with { type: 'json' }

const FOLDER = fileURLToPath(new URL('../', import.meta.url))

interface ServeOptions {
  readonly config?: string
}

export function serveCommand(): Command {
  return new Command('serve')
    .description('run the service')
    .option('-c, --config <file>', 'configuration; else VECTORD_CONFIG, else ./lakehouse.toml')
    .addHelpText(
      'after',
      `
Examples:
  vectord serve
  vectord serve --config /etc/vectord/lakehouse.toml
  VECTORD_SERVER_PORT=9000 vectord serve`,
    )
    .action(serve)
}

async function serve({ config }: ServeOptions): Promise<void> {
  // `npm start` says which settings Node gets and what it runs.
  const [program = '', ...settings] = manifest.scripts.start.split(' ').slice(1).reverse()
  const args = [...settings.reverse(), resolve(FOLDER, program)]
  const env = {
    ...process.env,
    ...(config !== undefined && { VECTORD_CONFIG: resolve(config) }),
  }
  if (typeof process.execve === 'function') {
    process.execve(process.execPath, [process.execPath, ...args], env)
  }
  // An older Node, or Windows: the service runs beside, and this process hands on what it is told.
  const child = spawn(process.execPath, args, { env, stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
  const [code] = (await once(child, 'exit')) as [number | null]
  process.exitCode = code ?? 1
}
