/** Opens the bucket that a spec describes: in the front, and again in every core. */

import type { BucketSpec } from '../domain/shard-spec.ts'
import { LocalStore } from './local-store.ts'
import type { ObjectStore } from './object-store.ts'
import { S3Store } from './s3-store.ts'

/** A local root is made where it is missing; an S3 bucket is not asked anything yet. */
export async function openStore(spec: BucketSpec): Promise<ObjectStore> {
  switch (spec.backend) {
    case 'local':
      return LocalStore.open(spec.root)
    case 's3':
      return new S3Store(spec)
  }
}
