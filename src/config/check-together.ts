/**
 * Rules that hold between keys, each with the sentence that an operator reads when it is broken.
 * Those of API keys and of the address to listen on belong to `src/http/auth.ts`.
 */

import { VectordError } from '../lib/errors.ts'
import type { Config } from './schema.ts'

/** @throws {VectordError} `invalid_config` */
export function checkTogether(config: Config): void {
  checkBucket('primary', config.primary)
  if (config.rescue.enabled) checkBucket('rescue', config.rescue)
  checkServer('embedders.ollama', config['embedders.ollama'])
  const openai = config['embedders.openai']
  checkServer('embedders.openai', openai)
  if (openai.url !== '' && openai.model === '') {
    throw fault('embedders.openai.model', 'embedders.openai.model must name the model that embeds.')
  }
  if (config.tracing.endpoint !== '' && !URL.canParse(config.tracing.endpoint)) {
    throw fault('tracing.endpoint', 'tracing.endpoint is no address of a server.')
  }
  if (config.log.groupBytesMax > config.log.segmentBytes) {
    throw fault('log.group_bytes_max', 'log.group_bytes_max must not exceed log.segment_bytes.')
  }
}

function checkServer(
  section: 'embedders.ollama' | 'embedders.openai',
  { url, model }: Pick<Config[typeof section], 'url' | 'model'>,
): void {
  if (url !== '' && !URL.canParse(url)) {
    throw fault(`${section}.url`, `${section}.url is no address of a server.`)
  }
  if (url === '' && model !== '') {
    throw fault(`${section}.url`, `${section}.url must say where ${section}.model is served.`)
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

function fault(key: string, message: string): VectordError {
  return new VectordError('invalid_config', message, { details: { key } })
}
