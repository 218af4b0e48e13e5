/** T13 at its everyday size: refusals with Retry-After, bounded memory, and every 2xx kept. */

import { it } from 'node:test'
import { overload } from '../support/overload.ts'
import { temporaryFolder } from '../support/service.ts'

const DURATION_MS = 30_000

it('overload is refused with Retry-After, memory stays bounded, and every 2xx is kept', async (t) => {
  const counts = await overload({
    root: await temporaryFolder(t),
    seed: 1,
    durationMs: DURATION_MS,
  })
  t.diagnostic(JSON.stringify(counts))
})
