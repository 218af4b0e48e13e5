/**
 * The process: configuration, log, lock on the storage root, listening, and an orderly end.
 *
 * It listens before the indexes are loaded: until then they answer `index_loading`. SIGTERM and
 * SIGINT drain; what they cannot drain in time is in the log and comes back at the next start.
 */

import { mkdir } from 'node:fs/promises'
import closeWithGrace from 'close-with-grace'
import type { Logger } from 'pino'
import { buildApp } from './app.ts'
import { loadConfig } from './config/load.ts'
import type { Config } from './config/schema.ts'
import { checkListen, parseApiKeys } from './http/auth.ts'
import { VectordError } from './lib/errors.ts'
import { lockRoot } from './log/root-lock.ts'
import { makeLogger } from './log-lines.ts'

async function main(): Promise<void> {
  const config = readConfig()
  const log = makeLogger(config.logging)
  try {
    await serve(config, log)
  } catch (error) {
    log.fatal(
      error instanceof VectordError ? { code: error.code } : { err: error },
      messageOf(error),
    )
    process.exitCode = 1
  }
}

async function serve(config: Config, log: Logger): Promise<void> {
  checkListen(config.server.host, parseApiKeys(config.auth.keys))
  await mkdir(config.storage.root, { recursive: true })
  const lock = await lockRoot(config.storage.root)
  const service = await buildApp({ config, log, nowMs: Date.now })
  const close = async (): Promise<void> => {
    await service.close()
    await lock.release()
  }
  const grace = closeWithGrace(
    { delay: config.server.drainTimeoutMs, logger: false },
    async ({ err, signal }) => {
      if (err === undefined) log.info({ signal }, 'draining')
      else log.fatal({ err }, 'ending after a fault')
      await close()
      log.info('closed')
    },
  )
  try {
    const { host, port } = config.server
    const address = await service.http.listen({ host, port })
    log.info({ address, root: config.storage.root, pid: process.pid }, 'listening')
  } catch (error) {
    grace.uninstall()
    await close()
    throw error
  }
  service.start()
}

function readConfig(): Config {
  try {
    return loadConfig({ env: process.env, cwd: process.cwd() })
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`)
    process.exit(1)
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

await main()
