/** Nothing stays under way for ever: whatever throws at whatever place, the index is the truth. */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { VectordError } from '../../src/lib/errors.ts'
import { OLD, openProjection, textsOf, type ProjectionWorld } from './projection-world.ts'

/** A run in which the n-th await of anything outside throws what `fault` makes. */
async function run(
  t: TestContext,
  n: number,
  fault: () => Error,
): Promise<ProjectionWorld & { readonly awaits: string[] }> {
  const world = openProjection(t)
  const awaits: string[] = []
  const at = async (stage: string): Promise<void> => {
    awaits.push(stage)
    if (awaits.length === n) throw fault()
  }
  world.index.at = at
  world.embedder.at = at
  world.index.write(textsOf('a', 70))
  world.index.writeOld(textsOf('b', 40), OLD)
  world.projection.start()
  await world.pass(0)
  return { ...world, awaits }
}

const FAULTS: readonly (readonly [string, () => Error])[] = [
  ['an error that may pass', () => new VectordError('core_unavailable', 'Gone.')],
  ['a bug', () => new TypeError('undefined is not a function')],
]

it('a throw at any await is survived by the projection itself, and by one after it', async (t) => {
  const { awaits } = await run(t, 0, () => new Error('never'))
  for (const stage of ['pending', 'count', 'fetch', 'apply', 'applied', 'identity', 'embed']) {
    assert.ok(awaits.includes(stage), `there is a ${stage} in it`)
  }
  t.mock.timers.reset()
  for (const [name, fault] of FAULTS) {
    for (let n = 1; n <= awaits.length; n += 1) {
      const what = `${name} at await ${n}, ${String(awaits[n - 1])}`
      await t.test(what, async (inner) => {
        const { index, pass, restart, projection } = await run(inner, n, fault)
        if (n % 2 === 0) {
          await projection.close()
          restart().start()
        }
        await pass(40_000)
        assert.deepEqual(index.waiting, [], what)
        assert.deepEqual(projection.summary.failed, 0)
      })
    }
  }
})

it('a close while anything outside never answers leaves all to the next one', async (t) => {
  for (const stage of ['identity', 'embed'] as const) {
    await t.test(stage, async (inner) => {
      const { index, embedder, projection, restart, pass } = openProjection(inner)
      embedder.at = (now) => (now === stage ? new Promise(() => undefined) : Promise.resolve())
      index.write(textsOf('a', 3))
      projection.start()
      await pass(0)
      await projection.close()
      embedder.at = () => Promise.resolve()
      restart().start()
      await pass(0)
      assert.deepEqual(index.waiting, [])
    })
  }
})
