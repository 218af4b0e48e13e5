/**
 * T7 at its CI size: 20 swaps of generations under writers at full rate.
 */

import { it } from 'node:test'
import { startService, temporaryFolder } from '../support/service.ts'
import { swapWindows } from '../support/swap-window.ts'

for (const streamed of [false, true]) {
  const what = streamed ? 'streamed point' : 'write'
  it(`T7: no ${what} is lost and no delete undone while generations are swapped`, async (t) => {
    const service = await startService(await temporaryFolder(t))
    t.after(() => service.kill())
    await service.ready()
    const swaps = streamed ? 5 : 20
    const work = { seed: 7, swaps, writes: 100, base: 3000, streamed }
    t.diagnostic(JSON.stringify(await swapWindows(service, work)))
  })
}
