/**
 * The keys that say where a bucket is: the same ones for each that the configuration names. They are a
 * part of the table in `schema.ts`.
 */

import { choice, path, text, type ChoiceKey, type PathKey, type TextKey } from './key-kinds.ts'

type BucketKeys = { readonly backend: ChoiceKey<'local' | 's3'> } & Readonly<
  Record<'bucket' | 'prefix' | 'region' | 'endpoint', TextKey> & Record<'credentials_file', PathKey>
>

/** @param what the bucket, in words. */
export function bucketKeys(what: string): BucketKeys {
  return {
    backend: choice('local', ['local', 's3'], `What holds ${what}: a folder or an S3 bucket.`),
    bucket: text('', {
      pattern: /^([A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9])?$/,
      form: 'the name of an S3 bucket, or empty',
      effect: `S3: the name of ${what}.`,
    }),
    prefix: text('', {
      pattern: /^([A-Za-z0-9_.-]+\/)*$/,
      form: 'empty, or a key prefix that ends with a slash',
      effect: `S3: where in it the objects of ${what} start.`,
    }),
    region: text('us-east-1', {
      pattern: /^[A-Za-z0-9-]{1,64}$/,
      form: 'the name of a region',
      effect: `S3: the region of ${what}.`,
    }),
    endpoint: text('', {
      pattern: /^(https?:\/\/[^\s/?#@]+\/?)?$/,
      form: 'an http or https address without path and credentials, or empty',
      effect: `S3: the server of ${what}, addressed by path; empty means AWS.`,
    }),
    credentials_file: path(
      '',
      `S3: JSON file {access_key_id, secret_access_key, session_token?} of ${what}, mode 0600;` +
        ' empty means what the AWS SDK finds in the environment.',
    ),
  }
}
