/** What a bucket on an S3 server may be called, checked before anything is sent to it. */

import type { BucketSpec } from '../domain/shard-spec.ts'
import { VectordError } from '../lib/errors.ts'
import { checkKey } from './object-key.ts'

export type S3Spec = Extract<BucketSpec, { backend: 's3' }>

const BUCKET_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/

/** @throws {VectordError} `bad_request` for an odd bucket, prefix, region or endpoint. */
export function checkS3Spec(spec: Pick<S3Spec, 'bucket' | 'prefix' | 'region' | 'endpoint'>): void {
  if (!BUCKET_NAME.test(spec.bucket)) throw refusal('bucket must be the name of an S3 bucket')
  if (!/^[A-Za-z0-9-]{1,64}$/.test(spec.region)) throw refusal('region must be the name of one')
  if (spec.prefix !== '') {
    if (!spec.prefix.endsWith('/')) throw refusal('prefix must be empty or end with a slash')
    checkKey(spec.prefix.slice(0, -1))
  }
  if (spec.endpoint !== null) checkEndpoint(spec.endpoint)
}

function checkEndpoint(endpoint: string): void {
  const url = URL.parse(endpoint)
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw refusal('endpoint must be an http or https URL')
  }
  if (url.username !== '' || url.password !== '' || url.search !== '') {
    throw refusal('endpoint must hold no credentials and no query')
  }
}

function refusal(rule: string): VectordError {
  return new VectordError('bad_request', `The ${rule}.`, { details: { rule } })
}
