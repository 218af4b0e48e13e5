/** Who may do what: every route of a real service against every role and beyond the prefixes of a key. */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { bearer, keyLine } from '../support/http-app.ts'
import { startService, temporaryFolder, type Reply, type Service } from '../support/service.ts'

type Role = 'read' | 'write' | 'admin'

/** Every route that needs a key, and the least role that it needs. */
const NEEDS: readonly (readonly [method: string, path: string, least: Role])[] = [
  ['POST', '/vectors/indexes', 'admin'],
  ['GET', '/vectors/indexes', 'read'],
  ['GET', '/vectors/indexes/{index}', 'read'],
  ['PATCH', '/vectors/indexes/{index}', 'admin'],
  ['DELETE', '/vectors/indexes/{index}', 'admin'],
  ['POST', '/vectors/indexes/{index}/points', 'write'],
  ['POST', '/vectors/indexes/{index}/points/delete', 'write'],
  ['GET', '/vectors/indexes/{index}/points/{id}', 'read'],
  ['GET', '/vectors/indexes/{index}/points/{id}/versions', 'read'],
  ['GET', '/vectors/indexes/{index}/points', 'read'],
  ['POST', '/vectors/indexes/{index}/search', 'read'],
  ['POST', '/vectors/indexes/{index}/search/batch', 'read'],
  ['POST', '/vectors/indexes/{index}/checkpoint', 'write'],
  ['POST', '/vectors/indexes/{index}/verify', 'write'],
  ['GET', '/vectors/indexes/{index}/health', 'read'],
  ['PUT', '/vectors/hnsw/evals/{name}', 'write'],
  ['POST', '/vectors/hnsw/evals/{name}/autogen', 'write'],
  ['GET', '/vectors/hnsw/evals', 'read'],
  ['GET', '/vectors/hnsw/evals/{name}', 'read'],
  ['DELETE', '/vectors/hnsw/evals/{name}', 'write'],
  ['GET', '/vectors/hnsw/trials/{index}', 'read'],
  ['GET', '/vectors/hnsw/trials/{index}/best', 'read'],
  ['GET', '/vectors/hnsw/trials/{index}/points', 'read'],
  ['GET', '/vectors/hnsw/trials/{index}/{trial_id}', 'read'],
  ['GET', '/vectors/agent/decisions/{index}', 'read'],
  ['GET', '/storage/buckets', 'read'],
  ['POST', '/storage/buckets', 'admin'],
  ['DELETE', '/storage/buckets/{name}', 'admin'],
  ['GET', '/storage/bucket-health', 'read'],
  ['GET', '/storage/errors', 'read'],
  ['POST', '/storage/errors/flush', 'admin'],
  ['POST', '/storage/errors/compact', 'admin'],
  ['GET', '/storage/buckets/{name}/objects', 'read'],
  ['GET', '/storage/buckets/{name}/objects/{*}', 'read'],
  ['PUT', '/storage/buckets/{name}/objects/{*}', 'write'],
  ['DELETE', '/storage/buckets/{name}/objects/{*}', 'write'],
  ['GET', '/operations', 'read'],
  ['GET', '/operations/{id}', 'read'],
  ['DELETE', '/operations/{id}', 'write'],
  ['GET', '/overview', 'read'],
  ['GET', '/metrics', 'read'],
  ['GET', '/cores', 'read'],
  ['POST', '/vectors/indexes/{index}/rebuild', 'write'],
  ['POST', '/vectors/indexes/{index}/compact', 'write'],
  ['GET', '/vectors/indexes/{index}/generations', 'read'],
  ['GET', '/vectors/indexes/{index}/recall', 'read'],
  ['GET', '/vectors/indexes/{index}/storage', 'read'],
  ['POST', '/vectors/indexes/{index}/stream', 'write'],
  ['GET', '/vectors/indexes/{index}/stream', 'read'],
  ['GET', '/vectors/indexes/{index}/stream/dead-letters', 'read'],
  ['POST', '/vectors/indexes/{index}/stream/dead-letters/requeue', 'write'],
  ['DELETE', '/vectors/indexes/{index}/stream/dead-letters/{id}', 'write'],
  ['GET', '/maintenance/drops', 'read'],
  ['GET', '/vectors/hnsw/curve/{index}', 'read'],
  ['POST', '/vectors/hnsw/trial', 'write'],
  ['POST', '/vectors/hnsw/autotune', 'admin'],
  ['POST', '/vectors/hnsw/promote/{index}/{trial_id}', 'admin'],
  ['POST', '/vectors/hnsw/rollback/{index}', 'admin'],
  ['POST', '/vectors/hnsw/rollforward/{index}', 'admin'],
  ['PUT', '/vectors/hnsw/promoted/{index}/pin', 'admin'],
  ['GET', '/vectors/hnsw/promoted/{index}', 'read'],
  ['GET', '/vectors/hnsw/promoted', 'read'],
  ['GET', '/vectors/hnsw/promoted/{index}/audit', 'read'],
  ['GET', '/vectors/agent/status', 'read'],
  ['POST', '/vectors/agent/start', 'admin'],
  ['POST', '/vectors/agent/stop', 'admin'],
  ['POST', '/vectors/agent/enqueue/{index}', 'admin'],
  ['POST', '/vectors/agent/pause/{index}', 'admin'],
  ['POST', '/vectors/agent/resume/{index}', 'admin'],
  ['GET', '/vectors/agent/{index}', 'read'],
  ['PUT', '/vectors/agent/{index}', 'admin'],
  ['POST', '/vectors/agent/propose/{index}', 'admin'],
  ['GET', '/vectors/agent/explain/{index}', 'read'],
  ['POST', '/vectors/indexes/{index}/search/groups', 'read'],
  ['POST', '/vectors/indexes/{index}/documents', 'write'],
  ['GET', '/vectors/indexes/{index}/documents/{id}', 'read'],
  ['DELETE', '/vectors/indexes/{index}/documents/{id}', 'write'],
  ['POST', '/vectors/lance/append/{index}', 'write'],
  ['POST', '/vectors/lance/search/{index}', 'read'],
  ['GET', '/vectors/lance/stats/{index}', 'read'],
  ['GET', '/vectors/lance/versions/{index}', 'read'],
  ['GET', '/vectors/lance/doc/{index}/{doc_id}', 'read'],
  ['POST', '/vectors/lance/index/{index}', 'write'],
  ['POST', '/vectors/lance/scalar-index/{index}', 'write'],
  ['POST', '/vectors/lance/optimize/{index}', 'write'],
  ['POST', '/vectors/lance/recall/{index}', 'write'],
  ['POST', '/vectors/lance/migrate/{index}', 'admin'],
  ['GET', '/vectors/projection', 'read'],
  ['POST', '/vectors/projection/drain', 'write'],
  ['GET', '/vectors/projection/failed', 'read'],
  ['POST', '/vectors/projection/requeue', 'write'],
  ['GET', '/datasets', 'read'],
  ['GET', '/datasets/{name}', 'read'],
  ['DELETE', '/datasets/{name}', 'admin'],
  ['POST', '/ingest/mysql', 'admin'],
  ['POST', '/ingest/db', 'admin'],
  ['POST', '/ingest/file', 'admin'],
  ['GET', '/ingest/watches', 'read'],
  ['GET', '/ingest/watches/{name}', 'read'],
  ['PUT', '/ingest/watches/{name}', 'admin'],
  ['DELETE', '/ingest/watches/{name}', 'admin'],
  ['POST', '/ingest/watches/{name}/retry', 'admin'],
  ['GET', '/vectors/profiles', 'read'],
  ['GET', '/vectors/profiles/{id}', 'read'],
  ['PUT', '/vectors/profiles/{id}', 'admin'],
  ['DELETE', '/vectors/profiles/{id}', 'admin'],
  ['POST', '/vectors/profile/{id}/activate', 'admin'],
  ['POST', '/vectors/profile/{id}/deactivate', 'admin'],
  ['POST', '/vectors/profile/{id}/search', 'read'],
  ['GET', '/vectors/profile/active', 'read'],
  ['GET', '/vectors/indexes/{index}/export', 'read'],
  ['POST', '/vectors/indexes/{index}/snapshots', 'write'],
  ['GET', '/vectors/indexes/{index}/snapshots', 'read'],
  ['GET', '/vectors/indexes/{index}/snapshots/{id}', 'read'],
  ['DELETE', '/vectors/indexes/{index}/snapshots/{id}', 'admin'],
  ['POST', '/vectors/indexes/{index}/snapshots/{id}/restore', 'admin'],
  ['POST', '/vectors/indexes/{index}/snapshots/{id}/copy', 'admin'],
  ['POST', '/vectors/indexes/{index}/snapshots/{id}/verify', 'write'],
  ['GET', '/admin/vram', 'read'],
  ['POST', '/admin/preload', 'admin'],
  ['POST', '/admin/unload', 'admin'],
]

const PUBLIC = ['GET /livez', 'GET /readyz', 'GET /healthz']

const RANK: Readonly<Record<Role, number>> = { read: 0, write: 1, admin: 2 }
const SECRETS: readonly (readonly [secret: string, role: Role])[] = [
  ['r-secret', 'read'],
  ['w-secret', 'write'],
  ['a-secret', 'admin'],
]
const TEAM = bearer('t-secret')

async function start(t: TestContext): Promise<Service> {
  const keys = SECRETS.map(([secret, role]) => keyLine(role, role, secret))
  keys.push(keyLine('team', 'admin', 't-secret', 'team_|shared_'))
  const service = await startService(await temporaryFolder(t), {
    env: { VECTORD_AUTH_KEYS: keys.join(',') },
  })
  t.after(() => service.kill())
  await service.ready()
  return service
}

function code({ body }: Reply): string | undefined {
  return (body as { error?: { code?: string } } | undefined)?.error?.code
}

it('every route takes its role and higher ones, and refuses all else before it looks', async (t) => {
  const service = await start(t)
  const { body } = await service.request('GET', '/openapi.json', undefined, bearer('a-secret'))
  const { paths } = body as { paths: Record<string, Record<string, unknown>> }
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  )
  const covered = [...NEEDS.map(([method, path]) => `${method} ${path}`), ...PUBLIC]
  assert.deepEqual(routes.sort(), covered.sort(), 'the table of roles covers every route')
  for (const [method, path, least] of NEEDS) {
    const url = path.replaceAll(/\{[^}]+\}/g, 'x')
    const anonymous = await service.request(method, url)
    assert.equal(
      `${anonymous.status} ${code(anonymous)}`,
      '401 unauthenticated',
      `${method} ${path}`,
    )
    for (const [secret, role] of SECRETS) {
      const reply = await service.request(method, url, undefined, bearer(secret))
      const isRefused = reply.status === 401 || code(reply) === 'forbidden'
      assert.equal(
        isRefused,
        RANK[role] < RANK[least],
        `${method} ${path} as ${role}: ${reply.text}`,
      )
    }
  }
})

it('403: outside its prefixes a key learns nothing, also not whether the index exists', async (t) => {
  const service = await start(t)
  for (const name of ['other', 'shared_x']) {
    const wanted = { name, dimension: 2, metric: 'l2' }
    const made = await service.request('POST', '/vectors/indexes', wanted, bearer('a-secret'))
    assert.equal(made.status, 201, made.text)
  }
  const bare = ({ text }: Reply): string => text.replace(/"request_id":"[^"]+"/, '')
  for (const [method, path] of NEEDS.filter((need) => need[1].includes('{index}'))) {
    const at = (index: string): string =>
      path.replace('{index}', index).replaceAll(/\{[^}]+\}/g, 'x')
    const existing = await service.request(method, at('other'), undefined, TEAM)
    const absent = await service.request(method, at('absent'), undefined, TEAM)
    assert.equal(existing.status, 403, `${method} ${path}: ${existing.text}`)
    assert.equal(bare(existing), bare(absent).replaceAll('absent', 'other'), `${method} ${path}`)
  }
  const seen = await service.request('GET', '/vectors/indexes/shared_x', undefined, TEAM)
  assert.equal(seen.status, 200)
})

it('403: a key that is limited to prefixes does not switch the agent of all indexes', async (t) => {
  const service = await start(t)
  for (const path of ['/vectors/agent/start', '/vectors/agent/stop']) {
    const reply = await service.request('POST', path, undefined, TEAM)
    assert.equal(`${reply.status} ${String(code(reply))}`, '403 forbidden', path)
  }
  const { body } = await service.request('GET', '/vectors/agent/status', undefined, TEAM)
  assert.equal((body as { state: string }).state, 'stopped')
})
