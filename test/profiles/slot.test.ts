/** The GPU slot: what is in memory, in which order it came and went, and what the slot says of it. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { STEPS_WAITING_MAX } from '../../src/profiles/profiles.ts'
import { EMPTY_SLOT, type Slot, slotState } from '../../src/profiles/slot-state.ts'
import {
  down,
  profileOf,
  profileWorld,
  store,
  unknownModel,
  type ProfileWorld,
} from '../support/profile-world.ts'

const SLOT: Slot = {
  ...{ state: 'active', profile: 'p', profileRevision: 1, model: 'b' },
  ...{ resident: ['a', 'b'], fault: null },
}

async function worldOf(...ids: readonly string[]): Promise<ProfileWorld> {
  const world = profileWorld()
  await store(world, ...ids.map((id) => profileOf(id)))
  return world
}

async function said({ profiles }: ProfileWorld): Promise<string> {
  const { state, slot, isLoaded } = await profiles.active()
  return `${state} ${String(slot.profile)} ${String(isLoaded)}`
}

function coded(code: string): (error: unknown) => boolean {
  return (error) => error instanceof VectordError && error.code === code
}

it('the old model goes before the new one comes, which stays five minutes', async () => {
  const world = await worldOf('a', 'b')
  assert.equal(await said(world), 'empty null null')
  await world.profiles.activate('a', 'tester')
  assert.equal(await said(world), 'active a true')
  const done = await world.profiles.activate('b', 'tester')
  assert.deepEqual(world.models.calls, [
    'preload model-a 5m',
    'unload model-a',
    'preload model-b 5m',
  ])
  assert.deepEqual([done.unloaded, done.preloaded], [['model-a'], true])
  assert.equal(await said(world), 'active b true')
  assert.equal(world.models.most, 1)
})

it('the same model is left alone, also by another profile and with its tag', async () => {
  const world = await worldOf('a')
  await store(world, profileOf('twin', { model: 'model-a:latest' }))
  await world.profiles.activate('a', 'tester')
  const { revision } = await world.profiles.active()
  assert.equal((await world.profiles.activate('a', 'tester')).preloaded, false)
  assert.equal((await world.profiles.active()).revision, revision, 'nothing changed')
  await world.profiles.activate('twin', 'tester')
  assert.deepEqual(world.models.calls, ['preload model-a 5m'])
  assert.equal(await said(world), 'active twin true')
})

it('a model that the model server let go is told, and comes back with the next activation', async () => {
  const world = await worldOf('a')
  await world.profiles.activate('a', 'tester')
  world.models.memory.clear()
  assert.equal(await said(world), 'unloaded a false')
  assert.equal((await world.profiles.activate('a', 'tester')).preloaded, true)
  assert.equal(await said(world), 'active a true')
})

it('a deactivation takes the model out and clears the slot; only the active profile may', async () => {
  const world = await worldOf('a', 'b')
  await assert.rejects(world.profiles.deactivate('a', 'tester'), coded('profile_not_active'))
  await world.profiles.activate('a', 'tester')
  await assert.rejects(world.profiles.deactivate('b', 'tester'), coded('profile_not_active'))
  assert.equal(await said(world), 'active a true')
  const done = await world.profiles.deactivate('a', 'tester')
  assert.deepEqual(done.unloaded, ['model-a'])
  assert.deepEqual(world.models.calls, ['preload model-a 5m', 'unload model-a'])
  assert.equal(await said(world), 'empty null null')
})

it('where the old model cannot be taken out the new one does not come; a second try ends it', async () => {
  const world = await worldOf('a', 'b')
  await world.profiles.activate('a', 'tester')
  world.models.failures.set('unload', down())
  await assert.rejects(world.profiles.activate('b', 'tester'), coded('model_server_unavailable'))
  assert.deepEqual(world.models.calls.slice(1), ['unload model-a'])
  assert.equal(await said(world), 'failed b false')
  assert.equal((await world.profiles.active()).slot.fault?.code, 'model_server_unavailable')
  world.models.failures.clear()
  await world.profiles.activate('b', 'tester')
  assert.deepEqual(world.models.calls.slice(2), ['unload model-a', 'preload model-b 5m'])
  assert.equal(await said(world), 'active b true')
})

it('a preload whose answer is lost may have loaded: the model goes before another one comes', async () => {
  const world = await worldOf('a', 'b')
  world.models.worksAllTheSame = true
  world.models.failures.set('preload', down())
  await assert.rejects(world.profiles.activate('a', 'tester'), coded('model_server_unavailable'))
  assert.equal(await said(world), 'failed a true')
  world.models.failures.clear()
  await world.profiles.activate('b', 'tester')
  assert.deepEqual(world.models.calls, [
    'preload model-a 5m',
    'unload model-a',
    'preload model-b 5m',
  ])
  assert.equal(world.models.most, 1)
})

it('a model that does not exist leaves nothing behind that would have to go', async () => {
  const world = await worldOf('a', 'b')
  world.models.failures.set('preload', unknownModel())
  await assert.rejects(world.profiles.activate('a', 'tester'), coded('model_not_found'))
  assert.equal(await said(world), 'failed a false')
  world.models.failures.clear()
  await world.profiles.activate('b', 'tester')
  assert.deepEqual(world.models.calls, ['preload model-a 5m', 'preload model-b 5m'])
})

it('an old model that was removed from the model server holds up nobody', async () => {
  const world = await worldOf('a', 'b')
  await world.profiles.activate('a', 'tester')
  world.models.memory.clear()
  world.models.failures.set('unload', unknownModel())
  await world.profiles.activate('b', 'tester')
  assert.equal(await said(world), 'active b true')
})

it('a failed deactivation keeps the slot, and may be tried again', async () => {
  const world = await worldOf('a')
  await world.profiles.activate('a', 'tester')
  world.models.failures.set('unload', down())
  await assert.rejects(world.profiles.deactivate('a', 'tester'), coded('model_server_unavailable'))
  assert.equal(await said(world), 'failed a true')
  world.models.failures.clear()
  await world.profiles.deactivate('a', 'tester')
  assert.equal(await said(world), 'empty null null')
})

it('after a restart the slot is unknown until the model server answers', async () => {
  const before = await worldOf('a', 'b')
  await before.profiles.activate('a', 'tester')
  const after = profileWorld({ beside: before })
  after.models.failures.set('loaded', down())
  assert.equal(await said(after), 'unknown a null')
  after.models.failures.clear()
  assert.equal(await said(after), 'active a true')
  await after.profiles.activate('b', 'tester')
  assert.deepEqual(after.models.calls.slice(1), ['unload model-a', 'preload model-b 5m'])
})

it('a model server that hangs holds up nobody who only looks', async (t) => {
  const world = await worldOf('a')
  await world.profiles.activate('a', 'tester')
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const asked = Promise.withResolvers<undefined>()
  t.mock.method(world.models, 'loaded', () => {
    asked.resolve(undefined)
    return new Promise(() => undefined)
  })
  const view = said(world)
  await asked.promise
  t.mock.timers.tick(5000)
  assert.equal(await view, 'unknown a null')
})

it('a crash between unload and preload is told as such, and the next activation ends it', async () => {
  const crashed = await worldOf('a', 'b')
  await crashed.profiles.activate('a', 'tester')
  const gate = Promise.withResolvers<undefined>()
  crashed.models.gate = gate.promise.then(() => undefined)
  const lost = crashed.profiles.activate('b', 'tester')
  await eventually(() => crashed.models.calls.length === 3)
  crashed.models.memory.clear() // The preload had not got so far.
  const after = profileWorld({ beside: crashed })
  assert.equal(await said(after), 'unsettled b false')
  after.models.gate = Promise.resolve()
  await after.profiles.activate('b', 'tester')
  assert.equal(await said(after), 'active b true')
  const calls = after.models.calls.slice(3)
  assert.deepEqual(calls.slice(0, 2), ['unload model-a', 'preload model-b 5m'], 'a may be there')
  gate.resolve(undefined)
  await assert.rejects(lost, coded('revision_mismatch'))
  assert.equal(await said(after), 'active b true')
})

it('the slot says what is stored as far as the model server bears it out', () => {
  const at = (state: Slot['state'], loaded: readonly string[] | null, isWorking = false): string =>
    slotState({ ...SLOT, state }, loaded, isWorking)
  const [both, alone, old] = [['a:latest', 'b:latest'], ['b:latest', 'other:1b'], ['a:latest']]
  assert.deepEqual(
    [both, alone, old, [], null].map((loaded) => at('loading', loaded)),
    ['unsettled', 'active', 'unsettled', 'unsettled', 'unknown'],
  )
  assert.deepEqual(
    [both, alone, old, [], null].map((loaded) => at('active', loaded)),
    ['active', 'active', 'unloaded', 'unloaded', 'unknown'],
  )
  for (const state of ['failed', 'unloading'] as const) {
    const said = state === 'failed' ? state : 'unsettled'
    assert.deepEqual([at(state, both), at(state, []), at(state, null)], [said, said, 'unknown'])
  }
  assert.deepEqual(
    [at('loading', alone, true), at('unloading', [], true)],
    ['loading', 'unloading'],
  )
  assert.equal(at('active', old, true), 'unloaded', 'also while the next step begins')
  assert.equal(slotState(EMPTY_SLOT, null, false), 'empty')
})

it('while a model is loaded the slot says so, and never that it is active', async () => {
  const world = await worldOf('a')
  const gate = Promise.withResolvers<undefined>()
  world.models.gate = gate.promise.then(() => undefined)
  const activation = world.profiles.activate('a', 'tester')
  await eventually(() => world.models.calls.length === 1)
  world.models.memory.clear()
  assert.equal(await said(world), 'loading a false')
  world.models.memory.add('model-a:latest')
  gate.resolve(undefined)
  await activation
  assert.equal(await said(world), 'active a true')
})

it('activations at once run one after the other, and no two models are in memory together', async () => {
  const ids = ['a', 'b', 'c', 'd']
  const world = await worldOf(...ids)
  await Promise.all([...ids, ...ids].map((id) => world.profiles.activate(id, 'tester')))
  assert.equal(world.models.most, 1)
  assert.deepEqual([...world.models.memory], ['model-d:latest'])
  assert.equal(await said(world), 'active d true')
})

it('too many changes of the slot at once are refused, and those that wait are not disturbed', async () => {
  const world = await worldOf('a')
  const all = Array.from({ length: STEPS_WAITING_MAX + 1 }, () =>
    world.profiles.activate('a', 'tester').catch((error: unknown) => error),
  )
  const refused = (await Promise.all(all)).filter(coded('overloaded'))
  assert.equal(refused.length, 1)
  assert.equal(await said(world), 'active a true')
})

it('of two servers one has the slot, and the other takes back what it loaded', async () => {
  const one = await worldOf('a', 'b')
  const other = profileWorld({ beside: one })
  const gate = Promise.withResolvers<undefined>()
  one.models.gate = gate.promise.then(() => undefined)
  const slow = one.profiles.activate('a', 'tester')
  await eventually(() => one.models.calls.length === 1)
  one.models.gate = Promise.resolve()
  await other.profiles.activate('b', 'tester')
  one.models.memory.add('model-a:latest') // The slow preload ends after the other one's unload.
  gate.resolve(undefined)
  await assert.rejects(slow, coded('revision_mismatch'))
  assert.deepEqual([...one.models.memory], ['model-b:latest'])
  assert.equal(await said(one), 'active b true')
})

it('whichever write of the slot fails, it never lies, and the next try ends it', async () => {
  for (const before of [0, 1]) {
    for (const preloadFails of [false, true]) {
      const world = await worldOf('a', 'b')
      await world.profiles.activate('a', 'tester')
      const broken = profileWorld({ beside: world, store: (inner) => failingPuts(inner, before) })
      if (preloadFails) broken.models.failures.set('preload', down())
      await assert.rejects(broken.profiles.activate('b', 'tester'))
      const { state, slot } = await broken.profiles.active()
      const isThere = broken.models.memory.has(`${String(slot.model)}:latest`)
      assert.equal(state === 'active', isThere, `${before} ${preloadFails} ${state}`)
      assert.equal(broken.troubles.length, before === 1 && preloadFails ? 1 : 0)
      broken.models.failures.clear()
      const mended = profileWorld({ beside: world })
      await mended.profiles.activate('b', 'tester')
      assert.equal(await said(mended), 'active b true')
      assert.equal(mended.models.most, 1)
    }
  }
})

it('a wish that cannot be stored reaches no model server', async () => {
  const world = await worldOf('a')
  const broken = profileWorld({ beside: world, store: (inner) => failingPuts(inner, 0) })
  await assert.rejects(broken.profiles.activate('a', 'tester'), coded('storage_full'))
  assert.deepEqual(broken.models.calls, [])
  assert.equal(await said(broken), 'empty null null')
})

it('without a model server nothing is activated, and what was left is only cleared', async () => {
  const world = await worldOf('a')
  await world.profiles.activate('a', 'tester')
  const without = profileWorld({ beside: world, models: null })
  await assert.rejects(without.profiles.activate('a', 'tester'), coded('not_configured'))
  assert.equal(await said(without), 'unknown a null')
  await without.profiles.deactivate('a', 'tester')
  assert.equal(await said(without), 'empty null null')
})

it('a slot that cannot be read is an error, never an empty one', async () => {
  const world = await worldOf('a')
  await world.profiles.activate('a', 'tester')
  for (const [key, { body, modifiedMs }] of world.objects) {
    if (!key.startsWith('_profile_slot/')) continue
    const bytes = new Uint8Array(body)
    bytes[40] = (bytes[40] ?? 0) ^ 1
    world.objects.set(key, { body: bytes, modifiedMs })
  }
  await assert.rejects(world.profiles.active(), coded('object_corrupt'))
  await assert.rejects(world.profiles.activate('a', 'tester'), coded('object_corrupt'))
  assert.deepEqual(world.models.calls, ['preload model-a 5m'])
})

/** A full disk, after so many more writes. */
function failingPuts(inner: ObjectStore, writes: number): ObjectStore {
  let left = writes
  return new Proxy(inner, {
    get: (target, name) => {
      if (name === 'putIfAbsent' && (left -= 1) < 0) {
        return () => Promise.reject(new VectordError('storage_full', 'The disk is full.'))
      }
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve))
}
