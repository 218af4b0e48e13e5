/** What the tests of revisioned documents share: a document that lists the changes applied to it. */

import assert from 'node:assert/strict'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import {
  type DocumentCodec,
  RevisionedDocument,
  type RevisionedDocumentOptions,
} from '../../src/buckets/revisioned-document.ts'
import { collect } from '../support/collect.ts'
import type { Fault } from '../support/faulty-store.ts'

export type Applied = readonly string[]

const codec: DocumentCodec<Applied> = {
  toJson: (document) => ({ applied: document }),
  fromJson: (json) => json['applied'] as Applied,
}

const PREFIX = '_test/x/'

export const by = { author: 'test', reason: 'because' }

type Overrides = Partial<RevisionedDocumentOptions<Applied>>

export function open(store: ObjectStore, overrides: Overrides = {}): RevisionedDocument<Applied> {
  return new RevisionedDocument({ store, prefix: PREFIX, name: 'test', codec, ...overrides })
}

export async function append(document: RevisionedDocument<Applied>, name: string): Promise<void> {
  const revision = await document.modify((current) => ({
    document: [...(current?.document ?? []), name],
    ...by,
  }))
  assert.equal(revision.document.at(-1), name)
}

export async function keys(store: ObjectStore): Promise<string[]> {
  return (await collect(store.list(PREFIX))).map((object) => object.key)
}

export async function text(store: ObjectStore, key: string): Promise<string> {
  return Buffer.from(await store.get(key)).toString()
}

export async function flip(store: ObjectStore, key: string, at: number, mask = 1): Promise<void> {
  const body = new Uint8Array(await store.get(key))
  body[at] = (body[at] ?? 0) ^ mask
  await store.put(key, body)
}

export function failure(where: Pick<Fault, 'operations'>): Fault {
  return { kind: 'error', code: 'storage_full', when: 'before', ...where }
}
