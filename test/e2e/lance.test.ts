/**
 * Lance indexes of a real service.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { startService, temporaryFolder } from '../support/service.ts'

it('a Lance index takes points and finds them', async (t) => {
  const root = await temporaryFolder(t)
  const service = await startService(root)
  t.after(() => { console.log(service.log.filter((l) => l.includes('failed')).join('\n')); return service.kill() })
  await service.ready()
  console.log(await service.must('POST', '/vectors/indexes', { name: 'x', dimension: 4, backend: 'lance', metric: 'l2' }))
  const points = Array.from({ length: 50 }, (_, i) => ({ id: `p${i}`, vector: [i, 1, 2, 3], metadata: { n: i } }))
  console.log(await service.must('POST', '/vectors/indexes/x/points', { points }))
  console.log(JSON.stringify(await service.must('POST', '/vectors/indexes/x/search', { vector: [7, 1, 2, 3], k: 3 })))
  console.log(JSON.stringify(await service.must('POST', '/vectors/indexes/x/search', { id: 'p7', k: 3, filter: { n: { $gt: 7 } } })))
  console.log(await service.must('GET', '/vectors/indexes/x'))
  console.log((await service.request('GET', '/vectors/indexes/x/points?limit=2')).text)
  console.log((await service.request('POST', '/vectors/indexes/x/rebuild')).text)
  console.log((await service.request('POST', '/vectors/indexes/x/verify?wait=true')).text)
  console.log((await service.request('DELETE', '/vectors/indexes/x')).text)
  console.log((await service.request('GET', '/vectors/indexes/x')).text)
  assert.ok(true)
})
