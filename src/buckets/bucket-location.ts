/**
 * Where a bucket is: as a configuration or a request tells it, as it is stored, and as it is shown.
 *
 * Two buckets must not overlap: what one of them drops or lists would be the other's.
 */

import { isAbsolute, normalize, sep } from 'node:path'
import { VectordError } from '../lib/errors.ts'
import type { ConditionalWrites } from './bucket-probe.ts'
import type { CredentialsSource, KeptSource } from './credentials.ts'
import type { Json, JsonObject } from './revision-codec.ts'
import { checkS3Spec } from './s3-spec.ts'

export type BucketLocation<Source = CredentialsSource> =
  | { readonly backend: 'local'; readonly root: string }
  | {
      readonly backend: 's3'
      readonly bucket: string
      /** Empty, or a key prefix that ends with a slash. */
      readonly prefix: string
      readonly region: string
      /** Null means AWS. */
      readonly endpoint: string | null
      readonly credentials: Source
    }

/** A bucket that was added at run time, as the registry's document holds it. */
export interface AddedBucket {
  readonly name: string
  readonly location: BucketLocation<KeptSource>
  readonly conditionalWrites: ConditionalWrites
}

/** @throws {VectordError} `bad_request` for a root that is not absolute, or an odd S3 bucket. */
export function checkLocation(location: BucketLocation<unknown>): void {
  if (location.backend === 's3') {
    checkS3Spec(location)
  } else if (!isAbsolute(location.root) || location.root.includes('\0')) {
    throw new VectordError('bad_request', 'The root of a local bucket must be absolute.')
  }
}

/** What may be shown of a location: where it is, nothing of how it is opened. */
export function uriOf(location: BucketLocation<unknown>): string {
  if (location.backend === 'local') return `file://${encodeURI(normalize(location.root))}`
  const uri = `s3://${location.bucket}/${location.prefix}`
  return location.endpoint === null ? uri : `${uri}?endpoint=${hostOf(location.endpoint)}`
}

/** True where one location is, or lies within, the other one. */
export function overlap(a: BucketLocation<unknown>, b: BucketLocation<unknown>): boolean {
  const [one, other] = [placeOf(a), placeOf(b)]
  return one.startsWith(other) || other.startsWith(one)
}

/** A text that starts with that of every place around it. */
function placeOf(location: BucketLocation<unknown>): string {
  if (location.backend === 'local') {
    const root = normalize(location.root)
    return root.endsWith(sep) ? root : root + sep
  }
  const host = location.endpoint === null ? 'aws' : hostOf(location.endpoint)
  return `s3 ${host} ${location.bucket} /${location.prefix}`
}

function hostOf(endpoint: string): string {
  return URL.parse(endpoint)?.host ?? ''
}

export function bucketToJson(added: AddedBucket): JsonObject {
  const { name, location, conditionalWrites } = added
  const where: JsonObject =
    location.backend === 'local'
      ? { backend: 'local', root: location.root }
      : {
          backend: 's3',
          bucket: location.bucket,
          prefix: location.prefix,
          region: location.region,
          endpoint: location.endpoint,
          credentials: { ...location.credentials },
        }
  return { name, ...where, conditional_writes: conditionalWrites }
}

/** @throws {VectordError} `object_corrupt`. */
export function bucketFromJson(json: Json, key: string): AddedBucket {
  const fields = objectOf(json, key)
  const text = (name: string): string => textOf(fields, name, key)
  const location: BucketLocation<KeptSource> =
    fields['backend'] === 'local'
      ? { backend: 'local', root: text('root') }
      : {
          backend: 's3',
          bucket: text('bucket'),
          prefix: text('prefix'),
          region: text('region'),
          endpoint: fields['endpoint'] === null ? null : text('endpoint'),
          credentials: sourceFromJson(objectOf(fields['credentials'], key), key),
        }
  const isVerified = fields['conditional_writes'] === 'verified'
  return {
    name: text('name'),
    location,
    conditionalWrites: isVerified ? 'verified' : 'single_writer',
  }
}

function sourceFromJson(fields: JsonObject, key: string): KeptSource {
  const kind = textOf(fields, 'kind', key)
  switch (kind) {
    case 'environment':
      return { kind }
    case 'profile':
      return { kind, profile: textOf(fields, 'profile', key) }
    case 'file':
      return { kind, path: textOf(fields, 'path', key) }
    case 'stored':
      return { kind, file: textOf(fields, 'file', key) }
    default:
      throw corrupt(key, 'kind')
  }
}

function objectOf(json: Json | undefined, key: string): JsonObject {
  if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json as JsonObject
  throw corrupt(key, 'a bucket')
}

function textOf(fields: JsonObject, name: string, key: string): string {
  const value = fields[name]
  if (typeof value === 'string') return value
  throw corrupt(key, name)
}

function corrupt(key: string, field: string): VectordError {
  const message = `The bucket document "${key}" is corrupt at "${field}".`
  return new VectordError('object_corrupt', message, { details: { key, field } })
}
