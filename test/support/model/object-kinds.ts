/**
 * Plain objects in buckets, and the buckets themselves.
 */

import assert from 'node:assert/strict'
import { always, answered, refused, type ModelRun, type OperationKind } from './model-run.ts'
import { BUCKETS } from './model-world.ts'

const KEYS = ['m/a', 'm/b.txt', 'm/c/d', 'm/c/e', 'm/ü 1', 'n', 'n.1', 'm-z']
const BYTES = { 'content-type': 'application/octet-stream' }

export const OBJECT_KINDS: readonly OperationKind[] = [
  kind('object_put', 8, async (run, bucket) => {
    const key = run.dice.pick(KEYS)
    const text = run.dice.chance(0.1) ? '' : `text ${run.number} `.repeat(run.dice.int(1, 50))
    const reply = await run.send('PUT', pathOf(bucket, key), Buffer.from(text), BYTES)
    assert.deepEqual(answered(reply, 200), { key, bytes: text.length })
    run.world.objectsOf(bucket).set(key, text)
  }),
  kind('object_get', 8, async (run, bucket) => {
    const key = run.dice.pick(KEYS)
    const reply = await run.send('GET', pathOf(bucket, key))
    const text = run.world.objectsOf(bucket).get(key)
    if (text === undefined) refused(reply, 404, 'object_not_found')
    else assert.deepEqual([reply.status, reply.text], [200, text])
  }),
  kind('object_delete', 4, async (run, bucket) => {
    const key = run.dice.pick(KEYS)
    answered(await run.send('DELETE', pathOf(bucket, key)), 204)
    run.world.objectsOf(bucket).delete(key)
  }),
  kind('object_list', 4, listObjects),
  kind('object_bad', 3, async (run, bucket) => {
    const [method, key, status, code] = run.dice.pick([
      ['PUT', '_indexes/alpha/meta/0000000001.json', 403, 'forbidden'],
      ['DELETE', '_hnsw_evals/e1.json', 403, 'forbidden'],
      ['PUT', 'a//b', 400, 'bad_request'],
      ['PUT', '.vectord-tmp/x', 400, 'bad_request'],
      ['GET', 'absent', 404, 'object_not_found'],
    ] as const)
    const body = method === 'PUT' ? Buffer.from('x') : undefined
    refused(await run.send(method, pathOf(bucket, key), body, BYTES), status, code)
  }),
  always('buckets', 2, async (run) => {
    const { buckets } = (await run.must('GET', '/storage/buckets')) as {
      readonly buckets: readonly { readonly name: string }[]
    }
    assert.deepEqual(buckets.map(({ name }) => name).sort(), [...BUCKETS].sort())
  }),
  always('bucket_refused', 2, async (run) => {
    refused(await run.send('DELETE', '/storage/buckets/primary'), 403, 'bucket_protected')
    const again = { name: 'second', backend: 'local', root: '/nowhere' }
    refused(await run.send('POST', '/storage/buckets', again), 409, 'bucket_exists')
    const inUse = [...run.world.indexes.values()].some(
      ({ settings }) => settings.bucket === 'second',
    )
    if (!inUse) return
    refused(await run.send('DELETE', '/storage/buckets/second'), 409, 'bucket_in_use')
  }),
]

/** Every object of the test in both buckets. */
export async function checkObjects(run: ModelRun): Promise<void> {
  for (const bucket of BUCKETS) await listObjects(run, bucket)
}

/** Pages through a prefix, in byte order of the keys. */
async function listObjects(run: ModelRun, bucket: string): Promise<void> {
  const prefix = run.dice.pick(['m', 'm/', 'm/c', 'n'])
  const limit = run.dice.int(1, 5)
  const expected = [...run.world.objectsOf(bucket)]
    .filter(([key]) => key.startsWith(prefix))
    .map(([key, text]) => ({ key, bytes: text.length }))
    .sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)))
  const found: unknown[] = []
  let cursor: string | null = null
  do {
    const more: string = cursor === null ? '' : `&cursor=${cursor}`
    const base = `/storage/buckets/${bucket}/objects?limit=${limit}`
    const path = `${base}&prefix=${encodeURIComponent(prefix)}${more}`
    const page = (await run.must('GET', path)) as Page
    found.push(...page.objects.map(({ key, bytes }) => ({ key, bytes })))
    cursor = page.next_cursor
  } while (cursor !== null && found.length <= expected.length)
  assert.deepEqual(found, expected)
}

interface Page {
  readonly objects: readonly { readonly key: string; readonly bytes: number }[]
  readonly next_cursor: string | null
}

function pathOf(bucket: string, key: string): string {
  const parts = key.split('/').map(encodeURIComponent)
  return `/storage/buckets/${bucket}/objects/${parts.join('/')}`
}

function kind(
  name: string,
  weight: number,
  work: (run: ModelRun, bucket: string) => Promise<void>,
): OperationKind {
  return { name, weight, run: (run) => work(run, run.dice.pick(BUCKETS)) }
}
