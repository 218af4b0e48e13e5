/**
 * T7 at its CI size: 20 swaps of generations under writers at full rate.
 */

import { it } from 'node:test'
import { startService, temporaryFolder } from '../support/service.ts'
import { swapWindows } from '../support/swap-window.ts'

it('T7: no write is lost and no delete undone while generations are swapped', async (t) => {
  const service = await startService(await temporaryFolder(t))
  t.after(() => service.kill())
  await service.ready()
  const counts = await swapWindows(service, { seed: 7, swaps: 20, writes: 100, base: 3000 })
  t.diagnostic(JSON.stringify(counts))
})
