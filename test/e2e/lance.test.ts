/**
 * Lance indexes of a real service.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { startService, temporaryFolder } from '../support/service.ts'
import { randomVectors, vectorAt } from '../support/vectors.ts'

it('a Lance index takes points and finds them', async (t) => {
  const root = await temporaryFolder(t)
  const service = await startService(root)
  t.after(() => {
    console.log(service.log.filter((l) => l.includes('failed')).join('\n'))
    return service.kill()
  })
  await service.ready()
  await service.must('POST', '/vectors/indexes', {
    name: 'x',
    dimension: 32,
    backend: 'hnsw',
    metric: 'l2',
  })
  const vectors = randomVectors(5000, 32, 1)
  for (let from = 0; from < 5000; from += 1000) {
    const points = Array.from({ length: 1000 }, (_, i) => ({
      id: `p${from + i}`,
      vector: [...vectorAt(vectors, 32, from + i)],
      metadata: { n: from + i },
    }))
    await service.must('POST', '/vectors/indexes/x/points', { points })
  }
  const timed = async (m: string, p: string, b?: unknown) => {
    const s = performance.now()
    const r = await service.request(m, p, b)
    console.log(m, p, r.status, Math.round(performance.now() - s), r.text.slice(0, 1500))
  }
  await timed('POST', '/vectors/lance/migrate/x?wait=true', { to: 'lance', name: 'y' })
  await timed('POST', '/vectors/lance/recall/y?wait=true', {})
  await timed('POST', '/vectors/lance/index/y?wait=true', { kind: 'ivf_pq', min_recall: 0.9 })
  await timed('POST', '/vectors/lance/index/y?wait=true', { kind: 'ivf_hnsw_sq', min_recall: 0.95 })
  await timed('POST', '/vectors/lance/scalar-index/y?wait=true')
  await timed('GET', '/vectors/lance/stats/y')
  await timed('GET', '/vectors/lance/versions/y')
  await timed('POST', '/vectors/lance/optimize/y?wait=true')
  await timed('GET', '/vectors/lance/stats/y')
  await timed('POST', '/vectors/lance/append/y', {
    points: [{ id: 'p1', vector: [...vectorAt(vectors, 32, 0)] }],
  })
  await timed('POST', '/vectors/lance/append/y', {
    points: [{ id: 'q1', vector: [...vectorAt(vectors, 32, 0)] }],
  })
  await timed('GET', '/vectors/lance/doc/y/q1')
  await timed('GET', '/vectors/lance/doc/y/q1?as_of=2')
  await timed('POST', '/vectors/lance/search/y', { id: 'q1', k: 3, nprobes: 1 })
  await timed('POST', '/vectors/lance/migrate/y?wait=true', { to: 'hnsw', name: 'z' })
  await timed('POST', '/vectors/indexes/z/search', { id: 'p1', k: 2 })
  await timed('GET', '/vectors/indexes/z')
  await timed('POST', '/vectors/indexes/y/verify?wait=true')
  await timed('GET', '/vectors/indexes/y/recall')
  await timed('DELETE', '/vectors/indexes/y')
  assert.ok(true)
})
