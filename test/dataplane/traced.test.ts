/** What a core tells of requests that are traced, and that nobody is blamed for being traced. */

import assert from 'node:assert/strict'
import { afterEach, it } from 'node:test'
import { useTracer, type Tracer } from '../../src/tracing/tracer.ts'
import { refused, serving, TestPlane, until } from './plane.ts'
import { IN_TIME, MemorySource, queryOf } from './specs.ts'

const WARM_SEARCHES = 2000

/** Records whatever runs while `isOn`. */
function listen(): { isOn: boolean; readonly told: readonly string[] } {
  const told: string[] = []
  const heard = { isOn: true, told }
  const tracer: Tracer = {
    openRequest: () => assert.fail('no request comes in here'),
    headers: () => ({}),
    async within({ name, attributes }, work) {
      if (!heard.isOn) return work(null)
      told.push(`${name} ${JSON.stringify(attributes)}`)
      try {
        return await work({ event: (event) => told.push(event) })
      } finally {
        told.push('end')
      }
    },
  }
  useTracer(tracer)
  return heard
}

afterEach(() => {
  useTracer(null)
})

it('a traced request is told of by its name, and when the core begins with it', async (t) => {
  const { plane } = new TestPlane(t)
  const source = new MemorySource('a')
  const shard = await plane.attach(source)
  await shard.whenReady()
  const heard = listen()
  await shard.search(queryOf(), IN_TIME)
  await shard.apply(source.append().lsn, Buffer.from('x'))
  heard.isOn = false
  await shard.search(queryOf(), IN_TIME)
  const core = '{"vectord.core":0}'
  const expected = [`core search ${core}`, 'started', 'end', `core apply ${core}`, 'started', 'end']
  assert.deepEqual(heard.told, expected)
})

it('a traced request whose answer goes down with its core is not blamed for that', async (t) => {
  const { plane } = new TestPlane(t)
  const shard = await plane.attach(new MemorySource('a'))
  const heard = listen()
  const innocent = queryOf({ spin_ms: 0 })
  for (let round = 0; round < 2; round += 1) {
    await serving(shard)
    heard.isOn = true
    // Compiled code answers before answers are sent: then they go down with the core.
    for (let i = 0; i < WARM_SEARCHES; i += 1) await shard.search(queryOf(), IN_TIME)
    const answered = shard.search(innocent, IN_TIME).catch(() => null)
    heard.isOn = false
    await refused(shard.search(queryOf({ do: 'abort' }), IN_TIME), 'core_unavailable')
    await answered
    await until(() => plane.cores()[0]?.deaths === round + 1 && shard.state !== 'ready')
  }
  await serving(shard)
  assert.equal((await shard.search(innocent, IN_TIME)).lsn, 0)
})
