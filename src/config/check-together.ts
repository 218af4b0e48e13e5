/**
 * Rules that hold between keys, each with the sentence that an operator reads when it is broken.
 */

import { isIP } from 'node:net'
import { VectordError } from '../lib/errors.ts'
import type { Config } from './schema.ts'

/** @throws {VectordError} `invalid_config` */
export function checkTogether(config: Config): void {
  if (!isLoopback(config.server.host) && config.auth.keys.length === 0) {
    throw fault(
      'server.host',
      `server.host ${config.server.host} can be reached from other machines, so auth.keys must` +
        ' hold at least one key.',
    )
  }
  const names = config.auth.keys.map((key) => key.split(':')[0])
  if (new Set(names).size < names.length) {
    throw fault('auth.keys', 'auth.keys must give each key a name of its own.')
  }
  checkBucket('primary', config.primary)
  if (config.rescue.enabled) checkBucket('rescue', config.rescue)
  if (config.log.groupBytesMax > config.log.segmentBytes) {
    throw fault('log.group_bytes_max', 'log.group_bytes_max must not exceed log.segment_bytes.')
  }
}

function checkBucket(section: string, keys: Config['primary']): void {
  if (keys.backend === 's3' && keys.bucket === '') {
    throw fault(`${section}.bucket`, `${section}.bucket must name the bucket when backend is s3.`)
  }
  if (keys.backend === 'local' && keys.bucket !== '') {
    throw fault(`${section}.bucket`, `${section}.bucket is for S3: set ${section}.backend to s3.`)
  }
}

/** Whether only this machine can reach the address. */
function isLoopback(host: string): boolean {
  if (host === 'localhost' || host === '::1') return true
  return isIP(host) === 4 && host.startsWith('127.')
}

function fault(key: string, message: string): VectordError {
  return new VectordError('invalid_config', message, { details: { key } })
}
