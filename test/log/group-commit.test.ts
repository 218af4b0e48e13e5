/** Groups of appends: what shares one, what is refused, and that a failed group fails alone. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { GroupCommit } from '../../src/log/group-commit.ts'
import { PAYLOAD_BYTES_MAX, RECORD_HEADER_BYTES } from '../../src/log/record.ts'

function gathered(groupBytesMax: number): { commits: GroupCommit; groups: number[] } {
  const groups: number[] = []
  let nextLsn = 1
  const write = async (payloads: readonly Uint8Array[]): Promise<number> => {
    groups.push(payloads.length)
    const firstLsn = nextLsn
    nextLsn += payloads.length
    await Promise.resolve()
    return firstLsn
  }
  return { commits: new GroupCommit({ groupBytesMax, write }), groups }
}

it('appends of one tick share a group, up to its bytes', async () => {
  const { commits, groups } = gathered(3 * (RECORD_HEADER_BYTES + 10))
  const lsns = await Promise.all(
    Array.from({ length: 7 }, () => commits.append(new Uint8Array(10))),
  )
  assert.deepEqual(lsns, [1, 2, 3, 4, 5, 6, 7])
  assert.deepEqual(groups, [3, 3, 1])
})

it('a payload that is larger than a group is a group of its own', async () => {
  const { commits, groups } = gathered(100)
  const sizes = [10, 500, 10]
  await Promise.all(sizes.map((bytes) => commits.append(new Uint8Array(bytes))))
  assert.deepEqual(groups, [1, 1, 1])
})

it('a group that fails is refused whole, and the next one is written', async () => {
  let failing = true
  const commits = new GroupCommit({
    groupBytesMax: 1000,
    write: async (payloads) => {
      if (failing) throw new Error(`refused ${payloads.length}`)
      return 5
    },
  })
  const both = await Promise.allSettled([
    commits.append(new Uint8Array(1)),
    commits.append(new Uint8Array(1)),
  ])
  for (const one of both) assert.match(String((one as PromiseRejectedResult).reason), /refused 2/)
  failing = false
  assert.equal(await commits.append(new Uint8Array(1)), 5)
})

it('payloads that are too large are refused, and those that wait are bounded', async () => {
  const never = Promise.withResolvers<number>()
  const commits = new GroupCommit({ groupBytesMax: 1, write: () => never.promise })
  const tooLarge = commits.append(new Uint8Array(PAYLOAD_BYTES_MAX + 1))
  await assert.rejects(tooLarge, { code: 'limit_exceeded' })
  // One piece of memory stands for all of them: only lengths are looked at.
  const large = new Uint8Array(PAYLOAD_BYTES_MAX)
  const taken = Array.from({ length: 4 }, () => commits.append(large))
  await assert.rejects(commits.append(large), { code: 'overloaded' })
  never.resolve(1)
  await Promise.all(taken)
  assert.equal(await commits.append(large), 1)
})
