/**
 * The bucket registry: what an operator may rely on when buckets come, go and fail.
 *
 * How: local buckets in temporary folders; `registry` opens the service's registry again, as a
 * restart or a second server does. S3 cases need no server: they stop before or at the connection.
 */

import assert from 'node:assert/strict'
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { inspect } from 'node:util'
import { BucketRegistry, type BucketRegistryOptions } from '../../src/buckets/bucket-registry.ts'
import { type MemoryObject, MemoryStore } from '../../src/buckets/memory-store.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { openStore } from '../../src/buckets/open-store.ts'
import type { BucketSpec } from '../../src/domain/shard-spec.ts'
import { hasCode } from '../../src/lib/errors.ts'
import { FaultyStore } from '../support/faulty-store.ts'

const SECRET = 'SECRETOFTHETEST'

describe('adding and removing', () => {
  it('a bucket that was added is there after a restart, and on the other server', async (t) => {
    const world = await makeWorld(t)
    const [one, other] = [await world.registry(), await world.registry()]
    const view = await one.add({ name: 'cold', backend: 'local', root: world.path('cold') }, 'me')
    assert.deepEqual(view, {
      name: 'cold',
      backend: 'local',
      uri: `file://${world.path('cold')}`,
      role: 'extra',
      isProtected: false,
      health: 'ok',
      conditionalWrites: 'verified',
    })
    await one.get('cold').put('k', Buffer.from('kept'))
    assert.throws(() => other.get('cold'), { code: 'bucket_not_found' })
    await other.refresh()
    for (const registry of [other, await world.registry()]) {
      assert.equal(Buffer.from(await registry.get('cold').get('k')).toString(), 'kept')
      assert.deepEqual(registry.spec('cold'), { backend: 'local', root: world.path('cold') })
    }
    await other.remove('cold', 'me')
    await one.refresh()
    assert.throws(() => one.get('cold'), { code: 'bucket_not_found' })
    assert.equal(await fs.readFile(world.path('cold/k'), 'utf8'), 'kept')
  })

  it('an unknown name is told with the names that there are', async (t) => {
    const registry = await (await makeWorld(t)).registry()
    assert.throws(
      () => registry.get('nope'),
      (error) => {
        assert.ok(hasCode(error, 'bucket_not_found'))
        assert.deepEqual(error.details['buckets'], ['primary', 'rescue'])
        return true
      },
    )
  })

  it('taken names and places, odd names and roots are refused', async (t) => {
    const world = await makeWorld(t)
    const registry = await world.registry()
    const add = (name: string, root: string) => registry.add({ name, backend: 'local', root }, 'me')
    await add('cold', world.path('cold'))
    await assert.rejects(add('cold', world.path('other')), { code: 'bucket_exists' })
    await assert.rejects(add('primary', world.path('other')), { code: 'bucket_exists' })
    await assert.rejects(add('rescue', world.path('other')), { code: 'bucket_exists' })
    await assert.rejects(add('twin', world.path('cold')), { code: 'bucket_exists' })
    await assert.rejects(add('inner', world.path('cold/deep/..//inner')), { code: 'bucket_exists' })
    await assert.rejects(add('outer', world.path('.')), { code: 'bucket_exists' })
    await assert.rejects(add('a/b', world.path('other')), { code: 'invalid_name' })
    await assert.rejects(add('relative', 'other'), { code: 'bad_request' })
    assert.equal((await add('cold2', world.path('cold2'))).name, 'cold2')
  })

  it('primary and rescue are protected, a bucket in use stays', async (t) => {
    const world = await makeWorld(t)
    const registry = await world.registry({
      indexesIn: (bucket) => (bucket === 'used' ? ['resumes'] : []),
    })
    for (const name of ['primary', 'rescue']) {
      await assert.rejects(registry.remove(name, 'me'), { code: 'bucket_protected' })
    }
    await registry.add({ name: 'used', backend: 'local', root: world.path('used') }, 'me')
    await assert.rejects(registry.remove('used', 'me'), { code: 'bucket_in_use' })
    assert.ok(registry.get('used'))
    await assert.rejects(registry.remove('nope', 'me'), { code: 'bucket_not_found' })
  })

  it('two servers that add at the same time lose no bucket', async (t) => {
    const world = await makeWorld(t)
    const servers = [await world.registry(), await world.registry()]
    const adding = servers.flatMap((server, s) =>
      [1, 2, 3].map((n) => {
        const name = `bucket-${s}-${n}`
        return server.add({ name, backend: 'local', root: world.path(name) }, 'me')
      }),
    )
    await Promise.all(adding)
    assert.equal((await world.registry()).list().length, 8)
    const twins = servers.map((server, s) =>
      server.add({ name: 'twin', backend: 'local', root: world.path(`twin-${s}`) }, 'me'),
    )
    const codes = (await Promise.allSettled(twins)).map((outcome) =>
      outcome.status === 'fulfilled' ? 'added' : (outcome.reason as { code: string }).code,
    )
    assert.deepEqual(codes.sort(), ['added', 'bucket_exists'])
  })

  it('a bucket that ignores conditions is registered as single_writer', async (t) => {
    const world = await makeWorld(t)
    const careless = new FaultyStore(new MemoryStore())
    careless.inject({ kind: 'ignore_condition', times: Infinity })
    const registry = await world.registry({
      openStore: (spec) =>
        spec.backend === 'local' && spec.root === world.path('careless')
          ? Promise.resolve(careless)
          : openStore(spec),
    })
    const bucket = { name: 'careless', backend: 'local', root: world.path('careless') } as const
    assert.equal((await registry.add(bucket, 'me')).conditionalWrites, 'single_writer')
  })

  it('the probe leaves nothing behind, and a bucket that fails it is not registered', async (t) => {
    const world = await makeWorld(t)
    const registry = await world.registry()
    await registry.add({ name: 'cold', backend: 'local', root: world.path('cold') }, 'me')
    assert.deepEqual(await fs.readdir(world.path('cold')), ['.vectord-tmp'])
    await fs.writeFile(world.path('file'), 'not a folder')
    const bad = { name: 'bad', backend: 'local', root: world.path('file') } as const
    await assert.rejects(registry.add(bad, 'me'), { code: 'storage_error' })
    assert.throws(() => registry.get('bad'), { code: 'bucket_not_found' })
  })
})

describe('failing buckets', () => {
  it('a dead extra bucket does not stop the start, says why, and comes back', async (t) => {
    const world = await makeWorld(t)
    const before = await world.registry()
    await before.add({ name: 'disk', backend: 'local', root: world.path('disk') }, 'me')
    await before.get('disk').put('k', Buffer.from('kept'))
    await before.close()
    await fs.rename(world.path('disk'), world.path('unplugged'))

    const after = await world.registry()
    assert.throws(() => after.get('disk'), { code: 'bucket_unreachable' })
    const dead = (await after.health()).find((bucket) => bucket.name === 'disk')
    assert.equal(dead?.reachable, false)
    assert.match(dead.error ?? '', /no bucket in/)
    assert.equal(after.list().find((bucket) => bucket.name === 'disk')?.health, 'unreachable')
    await assert.rejects(fs.stat(world.path('disk'))) // No empty bucket in its place.

    await fs.rename(world.path('unplugged'), world.path('disk'))
    const alive = (await after.health()).find((bucket) => bucket.name === 'disk')
    assert.ok(alive?.reachable === true && alive.latencyMs !== null)
    assert.equal(Buffer.from(await after.get('disk').get('k')).toString(), 'kept')
  })

  it('a primary that cannot be opened stops the start', async (t) => {
    const world = await makeWorld(t)
    await fs.writeFile(world.path('primary'), 'not a folder')
    await assert.rejects(world.registry(), { code: 'storage_error' })
  })

  it('reads fall back to rescue when home fails, and say so; absence and writes do not', async (t) => {
    const world = await makeWorld(t)
    const home = new FaultyStore(new MemoryStore())
    const registry = await world.registry({ openStore: world.replacing('primary', home) })
    await registry.writeObject('primary', 'both', Buffer.from('home'))
    await registry.writeObject('primary', 'home', Buffer.from('home'))
    await registry.writeObject('rescue', 'both', Buffer.from('rescue'))
    await registry.writeObject('rescue', 'rescue', Buffer.from('rescue'))
    const read = async (key: string): Promise<[string, boolean]> => {
      const { body, rescueUsed } = await registry.readObject('primary', key)
      return [Buffer.from(body).toString(), rescueUsed]
    }
    assert.deepEqual(await read('both'), ['home', false])
    await assert.rejects(read('rescue'), { code: 'object_not_found' })

    const down = { kind: 'error', code: 'bucket_unreachable', when: 'before' } as const
    home.inject({ ...down, times: Infinity })
    assert.deepEqual(await read('both'), ['rescue', true])
    assert.deepEqual(await read('rescue'), ['rescue', true])
    await assert.rejects(read('home'), { code: 'bucket_unreachable' })
    const page = { prefix: '', startAfter: null, limit: 1 }
    const listed = await registry.listObjects('primary', page)
    assert.deepEqual([listed.objects[0]?.key, listed.rescueUsed], ['both', true])
    const write = registry.writeObject('primary', 'new', Buffer.from('x'))
    await assert.rejects(write, { code: 'bucket_unreachable' })
    await assert.rejects(registry.readObject('rescue', 'new'), { code: 'object_not_found' })
  })

  it('failures are journaled with the name of their bucket, absence is not', async (t) => {
    const world = await makeWorld(t)
    const home = new FaultyStore(new MemoryStore())
    const registry = await world.registry({ openStore: world.replacing('primary', home) })
    await assert.rejects(registry.get('primary').get('nope'), { code: 'object_not_found' })
    home.inject({ kind: 'error', code: 'storage_full', when: 'before', operations: ['put'] })
    await assert.rejects(registry.get('primary').put('k', Buffer.from('x')))
    const failures = await registry.errors.list(10)
    assert.deepEqual(
      failures.map(({ bucket, operation, key, code }) => [bucket, operation, key, code]),
      [['primary', 'put', 'k', 'storage_full']],
    )
  })
})

describe('credentials', () => {
  it('those of a request lie in a file of mode 0600, and nowhere else', async (t) => {
    const world = await makeWorld(t)
    const registry = await world.registry({ openStore: s3InMemory() })
    const inline = { kind: 'inline', accessKeyId: 'KEYOFTHETEST', secretAccessKey: SECRET } as const
    const view = await registry.add(s3Bucket('s3', inline), 'me')
    assert.ok(!inspect(view, { depth: 9 }).includes(SECRET))
    assert.equal(view.uri, 's3://vectord/s3/?endpoint=127.0.0.1:9')

    const files = await filesBelow(world.path('.'))
    const holding: string[] = []
    for (const file of files) {
      if ((await fs.readFile(file, 'utf8')).includes(SECRET)) holding.push(file)
    }
    assert.equal(holding.length, 1)
    const [secret] = holding
    assert.ok(secret !== undefined && secret.includes('/.vectord-secrets/'))
    assert.equal((await fs.stat(secret)).mode & 0o777, 0o600)

    const again = await world.registry({ openStore: s3InMemory() })
    const spec = again.spec('s3')
    assert.ok(spec.backend === 's3' && spec.credentials?.secretAccessKey === SECRET)
    await again.remove('s3', 'me')
    await assert.rejects(fs.stat(secret))
  })

  it('a bucket of a storage root that is a bucket root too does not show them', async (t) => {
    const world = await makeWorld(t)
    const registry = await world.registry({
      primary: { backend: 'local', root: world.path('.') },
      rescue: null,
      openStore: s3InMemory(),
    })
    const inline = { kind: 'inline', accessKeyId: 'KEYOFTHETEST', secretAccessKey: SECRET } as const
    await registry.add(s3Bucket('s3', inline), 'me')
    const page = { prefix: '', startAfter: null, limit: 1000 }
    const { objects } = await registry.listObjects('primary', page)
    assert.deepEqual(
      objects.map((object) => object.key),
      ['_buckets/0000000001.json'],
    )
    const read = registry.readObject('primary', '.vectord-secrets/x')
    await assert.rejects(read, { code: 'bad_request' })
  })

  it('a bucket that is refused leaves no secret behind', async (t) => {
    const world = await makeWorld(t)
    const registry = await world.registry() // The real backend: nothing listens there.
    const inline = { kind: 'inline', accessKeyId: 'KEYOFTHETEST', secretAccessKey: SECRET } as const
    const refused: unknown = await registry.add(s3Bucket('s3', inline), 'me').then(
      () => null,
      (error: unknown) => error,
    )
    assert.ok(hasCode(refused, 'bucket_unreachable'))
    assert.ok(!inspect(refused, { depth: 20, showHidden: true }).includes(SECRET))
    assert.deepEqual(await fs.readdir(world.path('.vectord-secrets')), [])
  })

  it('a secrets file that others may read is refused, one of mode 0600 is taken', async (t) => {
    const world = await makeWorld(t)
    const registry = await world.registry({ openStore: s3InMemory() })
    const path = world.path('secret.json')
    const keys = { access_key_id: 'KEYOFTHETEST', secret_access_key: SECRET }
    await fs.writeFile(path, JSON.stringify(keys))
    for (const mode of [0o644, 0o640, 0o604, 0o700]) {
      await fs.chmod(path, mode)
      const add = registry.add(s3Bucket('s3', { kind: 'file', path }), 'me')
      await assert.rejects(
        add,
        (error) => hasCode(error, 'storage_error') && /0600/.test(error.message),
      )
    }
    await fs.chmod(path, 0o600)
    await registry.add(s3Bucket('s3', { kind: 'file', path }), 'me')
    const spec = registry.spec('s3')
    assert.ok(spec.backend === 's3')
    assert.deepEqual(spec.credentials, { accessKeyId: 'KEYOFTHETEST', secretAccessKey: SECRET })
  })

  it('a secrets file that is broken is refused without a quote of it', async (t) => {
    const world = await makeWorld(t)
    const registry = await world.registry({ openStore: s3InMemory() })
    const path = world.path('secret.json')
    for (const text of [SECRET, `{"secret_access_key":"${SECRET}"}`, '[]', 'null', '']) {
      await fs.writeFile(path, text, { mode: 0o600 })
      const error: unknown = await registry
        .add(s3Bucket('s3', { kind: 'file', path }), 'me')
        .catch((error: unknown) => error)
      assert.ok(hasCode(error, 'storage_error'), text)
      assert.ok(!inspect(error, { depth: 20, showHidden: true }).includes(SECRET))
    }
  })

  it('a profile is looked up in the shared credentials file', async (t) => {
    const world = await makeWorld(t)
    const registry = await world.registry({ openStore: s3InMemory() })
    const path = world.path('shared')
    const text = `[default]\naws_access_key_id=a\n[ops]\naws_access_key_id = KEYOFTHETEST\naws_secret_access_key = ${SECRET}\n[z]\naws_secret_access_key=no\n`
    await fs.writeFile(path, text, { mode: 0o600 })
    const given = process.env['AWS_SHARED_CREDENTIALS_FILE']
    process.env['AWS_SHARED_CREDENTIALS_FILE'] = path
    t.after(() => {
      if (given === undefined) delete process.env['AWS_SHARED_CREDENTIALS_FILE']
      else process.env['AWS_SHARED_CREDENTIALS_FILE'] = given
    })
    await registry.add(s3Bucket('s3', { kind: 'profile', profile: 'ops' }), 'me')
    const spec = registry.spec('s3')
    assert.ok(spec.backend === 's3' && spec.credentials?.secretAccessKey === SECRET)
    const missing = registry.add(s3Bucket('other', { kind: 'profile', profile: 'nope' }), 'me')
    await assert.rejects(missing, { code: 'storage_error' })
  })
})

interface World {
  path(name: string): string
  registry(overrides?: Partial<BucketRegistryOptions>): Promise<BucketRegistry>
  /** Opens `store` where the bucket lies in the folder `name`. */
  replacing(name: string, store: ObjectStore): (spec: BucketSpec) => Promise<ObjectStore>
}

async function makeWorld(t: TestContext): Promise<World> {
  const root = await fs.realpath(await fs.mkdtemp(join(tmpdir(), 'vectord-test-')))
  t.after(() => fs.rm(root, { recursive: true, force: true }))
  const path = (name: string): string => join(root, name)
  return {
    path,
    async registry(overrides = {}) {
      const registry = await BucketRegistry.open({
        primary: { backend: 'local', root: path('primary') },
        rescue: { backend: 'local', root: path('rescue') },
        storageRoot: root,
        indexesIn: () => [],
        ...overrides,
      })
      t.after(() => registry.close())
      return registry
    },
    replacing(name, store) {
      return async (spec) => {
        const isIt = spec.backend === 'local' && spec.root === path(name)
        return isIt ? store : openStore(spec)
      }
    },
  }
}

function s3InMemory(): (spec: BucketSpec) => ReturnType<typeof openStore> {
  const objects = new Map<string, MemoryObject>()
  return (spec) =>
    spec.backend === 's3' ? Promise.resolve(new MemoryStore(objects)) : openStore(spec)
}

function s3Bucket<Source>(name: string, credentials: Source) {
  const endpoint = 'http://127.0.0.1:9'
  const where = { bucket: 'vectord', prefix: `${name}/`, region: 'us-east-1', endpoint }
  return { name, backend: 's3', ...where, credentials } as const
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await fs.readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}
