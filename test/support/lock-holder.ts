/** A process that holds a storage root until it is killed: says so to its parent. */

import { lockRoot } from '../../src/log/root-lock.ts'

await lockRoot(process.argv[2] ?? '')
process.send?.('held')
setInterval(() => undefined, 60_000)
