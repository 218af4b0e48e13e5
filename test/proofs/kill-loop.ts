/**
 * The kill loop at its full size: `npm run proof:kill -- --kills 1000 --seed 1`.
 *
 * Prints its seed, its counts and `N passed, N failed`.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { killLoop } from '../support/kill-loop.ts'

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
  },
})
const seed = Number(values.seed)
const kills = Number(values.kills)
const root = await mkdtemp(join(tmpdir(), 'vectord-kill-'))
let passed = 0
process.stdout.write(`seed ${seed}, ${kills} kills\n`)
try {
  await killLoop({
    root,
    seed,
    kills,
    onRound: (round, counts) => {
      passed = round
      if (round % 10 === 0) process.stdout.write(`${round}: ${JSON.stringify(counts)}\n`)
    },
  })
} catch (error) {
  process.exitCode = 1
  process.stdout.write(`${String(error)}\n${String((error as Error).cause)}\n`)
}
await rm(root, { recursive: true, force: true })
process.stdout.write(`${passed} passed, ${kills - passed > 0 ? 1 : 0} failed\n`)
