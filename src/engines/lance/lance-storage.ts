/**
 * Where LanceDB finds the tables of a bucket.
 */

import { join } from 'node:path'
import type { LanceTableSpec } from '../../domain/lance-table.ts'
import type { BucketSpec } from '../../domain/shard-spec.ts'

/** Below the root or the prefix of the bucket. */
const TABLES_FOLDER = '_lance'

/** So that a bucket that is down is told within seconds; LanceDB's own bound is three minutes. */
const S3_LIMITS = {
  connect_timeout: '3s',
  timeout: '30s',
  client_max_retries: '3',
  client_retry_timeout: '10',
  download_retry_count: '3',
}

export interface LanceLocation {
  /** The folder of all tables. */
  readonly uri: string
  readonly storageOptions: Readonly<Record<string, string>>
}

/** The key prefix of everything that belongs to the table, in its bucket. */
export function tablePrefix(index: string): string {
  return `${TABLES_FOLDER}/${index}.lance/`
}

/** The folder of a table in a local bucket. */
export function localTableFolder(root: string, index: string): string {
  return join(root, tablePrefix(index))
}

/** Tells one table from every other, whatever the credentials are. */
export function placeOf({ bucket, index }: LanceTableSpec): string {
  return JSON.stringify([...wayTo(bucket), index])
}

/** Tells one bucket from every other, whatever the credentials are. */
export function bucketPlaceOf({ bucket }: LanceTableSpec): string {
  return JSON.stringify(wayTo(bucket))
}

function wayTo(bucket: BucketSpec): readonly (string | null)[] {
  return bucket.backend === 'local'
    ? ['local', bucket.root]
    : ['s3', bucket.endpoint, bucket.bucket, bucket.prefix]
}

export function locationOf(bucket: BucketSpec): LanceLocation {
  if (bucket.backend === 'local') {
    return { uri: join(bucket.root, TABLES_FOLDER), storageOptions: {} }
  }
  const { endpoint, credentials } = bucket
  return {
    uri: `s3://${bucket.bucket}/${bucket.prefix}${TABLES_FOLDER}`,
    storageOptions: {
      ...S3_LIMITS,
      aws_region: bucket.region,
      aws_virtual_hosted_style_request: 'false',
      ...(endpoint !== null && { aws_endpoint: endpoint }),
      ...(endpoint?.startsWith('http:') === true && { allow_http: 'true' }),
      ...(credentials !== null && {
        aws_access_key_id: credentials.accessKeyId,
        aws_secret_access_key: credentials.secretAccessKey,
      }),
      ...(credentials?.sessionToken !== undefined && {
        aws_session_token: credentials.sessionToken,
      }),
    },
  }
}
