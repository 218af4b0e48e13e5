/** Pages of the texts that wait: each text once, in order, and from every shard. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import type { TextsReply } from '../../src/domain/pending-text.ts'
import type { ScrollPosition } from '../../src/domain/search.ts'
import type { PendingCursor } from '../../src/indexes/index-texts.ts'
import { mergeTexts } from '../../src/indexes/served-texts.ts'

interface Row {
  readonly shard: number
  readonly lsn: number
}

it('a cursor over shards tells every text once, also where one of them lags behind', () => {
  const rows = fc.array(fc.nat(2), { minLength: 1, maxLength: 40 })
  fc.assert(
    fc.property(
      rows,
      fc.integer({ min: 1, max: 7 }),
      fc.infiniteStream(fc.nat(3)),
      (of, limit, lags) => {
        const all = of.map((shard, i): Row => ({ shard, lsn: i + 1 }))
        const applied = [0, 0, 0]
        const told: string[] = []
        let cursor: PendingCursor | null = null
        for (let round = 0; told.length < all.length && round < 500; round += 1) {
          for (const shard of applied.keys())
            applied[shard] = (applied[shard] ?? 0) + Number(lags.next().value)
          const pages = applied.map((upTo, shard) => {
            const from: ScrollPosition | null = cursor?.shards[shard] ?? null
            return { ...pageOf(all, { shard, upTo, from, limit }), from }
          })
          const page = mergeTexts(pages, limit)
          assert.ok(page.items.length <= limit)
          told.push(...page.items.map(({ id }) => id))
          // At its end a page has no cursor: whoever goes on later does so from where it was.
          cursor = page.next ?? { shards: lastOf(pages, page.items.length) }
        }
        assert.deepEqual([...told].sort(), all.map(({ lsn }) => `${lsn}`).sort())
      },
    ),
  )
})

/** Where each shard is after all of its page was told. */
function lastOf(
  pages: readonly {
    readonly positions: readonly ScrollPosition[]
    readonly from: ScrollPosition | null
  }[],
  told: number,
): (ScrollPosition | null)[] {
  assert.equal(told, pages.flatMap(({ positions }) => positions).length)
  return pages.map(({ positions, from }) => positions.at(-1) ?? from)
}

function pageOf(
  all: readonly Row[],
  at: { shard: number; upTo: number; from: ScrollPosition | null; limit: number },
): NonNullable<TextsReply['page']> {
  const left = all.filter(({ shard, lsn }) => {
    return shard === at.shard && lsn <= at.upTo && lsn > (at.from?.lsn ?? 0)
  })
  const page = left.slice(0, at.limit)
  return {
    items: page.map(({ lsn }) => ({ id: `${lsn}`, version: lsn, text: '', priority: 0 })),
    positions: page.map(({ lsn }) => ({ lsn, row: 0 })),
    done: left.length <= at.limit,
  }
}

it('pages of shards that have all applied come in the order of the log', () => {
  const rows = fc.array(fc.nat(2), { minLength: 1, maxLength: 40 })
  fc.assert(
    fc.property(rows, fc.integer({ min: 1, max: 7 }), (of, limit) => {
      const all = of.map((shard, i): Row => ({ shard, lsn: i + 1 }))
      const told: number[] = []
      let cursor: PendingCursor | null = null
      do {
        const pages = [0, 1, 2].map((shard) => {
          const from: ScrollPosition | null = cursor?.shards[shard] ?? null
          return { ...pageOf(all, { shard, upTo: Infinity, from, limit }), from }
        })
        const page = mergeTexts(pages, limit)
        told.push(...page.items.map(({ version }) => version))
        cursor = page.next
      } while (cursor !== null)
      assert.deepEqual(
        told,
        all.map(({ lsn }) => lsn),
      )
    }),
  )
})
