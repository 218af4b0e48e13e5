/** Works that hold several keys at once. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { KeyedMutex } from '../../src/lib/keyed-mutex.ts'

it('works that share a key go one after the other, in the order in which they came', async () => {
  const mutex = new KeyedMutex()
  const log: string[] = []
  const gate = Promise.withResolvers<undefined>()
  const work = (name: string, wait?: Promise<unknown>) => async () => {
    log.push(`${name} begins`)
    await wait
    log.push(`${name} ends`)
  }
  const all = [
    mutex.runAll(['a', 'b'], work('ab', gate.promise)),
    mutex.runAll(['b', 'a'], work('ba')),
    mutex.run('a', work('a')),
    mutex.runAll(['c'], work('c')),
  ]
  await all[3]
  assert.deepEqual(log, ['ab begins', 'c begins', 'c ends'])
  gate.resolve(undefined)
  await Promise.all(all)
  assert.deepEqual(log.slice(3), ['ab ends', 'ba begins', 'ba ends', 'a begins', 'a ends'])
})

it('a work that fails does not stop the next', async () => {
  const mutex = new KeyedMutex()
  const failed = mutex.runAll(['a', 'b'], async () => {
    throw new Error('no')
  })
  const next = mutex.runAll(['b'], async () => 'done')
  await assert.rejects(failed, /no/)
  assert.equal(await next, 'done')
})
