/**
 * Kept versions of points: the list of them, one of them, searches as of an earlier write.
 */

import assert from 'node:assert/strict'
import type { ModelIndex } from './model-index.ts'
import { answered, onIndex, refused, type ModelRun, type OperationKind } from './model-run.ts'
import { pointJson } from './read-kinds.ts'
import { checkSearch, type SearchAnswer } from './search-check.ts'
import { drawnSearch } from './search-kinds.ts'

const ALL = ['metadata', 'vector', 'text']

export const VERSION_KINDS: readonly OperationKind[] = [
  onIndex('versions', 15, versions),
  onIndex('fetch_version', 10, async (run, index) => {
    const id = anyId(run, index)
    const known = index.history.versions(id)
    const version =
      known.length > 0 && run.dice.chance(0.8)
        ? run.dice.pick(known).version
        : run.dice.int(0, index.lsn + 1)
    const path = `${pathOf(index, id)}?version=${version}&include=${ALL.join(',')}`
    const reply = await run.send('GET', path)
    const found = known.find((one) => one.version === version)?.point ?? null
    if (found === null) refused(reply, 404, 'point_not_found')
    else assert.deepEqual(answered(reply, 200), pointJson(found, ALL))
  }),
  onIndex('search_as_of', 20, searchAsOf),
  onIndex('search_as_of_unwritten', 1, async (run, index) => {
    const { body } = drawnSearch(run, index, { exact: false, filter: null })
    const later = { ...body, as_of: index.lsn + 1 }
    refused(await run.send('POST', `${index.path}/search`, later), 400, 'bad_request')
  }),
]

interface Page {
  readonly id: string
  readonly versions: readonly unknown[]
  readonly next_cursor: string | null
  readonly lsn: number
}

/** Where a start may have read more versions from the log than are to be there: which it did. */
export async function adoptRevived(run: ModelRun, index: ModelIndex): Promise<void> {
  const { history } = index
  if (!history.mayRevive) return
  for (const id of history.ids) {
    const reply = await run.send('GET', `${pathOf(index, id)}/versions?limit=100`)
    const told = reply.status === 404 ? [] : (answered(reply, 200) as Told).versions
    history.revive(
      id,
      new Set(told.filter(({ deleted }) => !deleted).map(({ version }) => version)),
    )
  }
  const vector = Array.from({ length: index.settings.dimension }, () => 1)
  const body = { vector, k: 1, as_of: 0 }
  const answer = (await run.must('POST', `${index.path}/search`, body)) as {
    readonly as_of: { readonly complete_from: number }
  }
  history.reviveHorizon(answer.as_of.complete_from)
}

interface Told {
  readonly versions: readonly { readonly version: number; readonly deleted: boolean }[]
}

async function versions(run: ModelRun, index: ModelIndex): Promise<void> {
  const id = anyId(run, index)
  const expected = index.history.versions(id).map(({ version, point, endedAt }) => ({
    ...{ version, live: point !== null && endedAt === null, deleted: point === null },
    ended_at: endedAt,
    metadata: point?.metadata ?? null,
    text: point?.text ?? null,
    vector: point === null ? null : [...point.vector],
  }))
  const limit = run.dice.int(1, 4)
  const base = `${pathOf(index, id)}/versions?limit=${limit}&include=${ALL.join(',')}`
  const first = await run.send('GET', base)
  if (expected.length === 0) {
    refused(first, 404, 'point_not_found')
    return
  }
  let page = answered(first, 200) as Page
  const found = [...page.versions]
  while (page.next_cursor !== null && found.length <= expected.length) {
    page = (await run.must('GET', `${base}&cursor=${encodeURIComponent(page.next_cursor)}`)) as Page
    found.push(...page.versions)
  }
  assert.deepEqual(found, expected)
  assert.deepEqual([page.id, page.lsn], [id, index.lsn])
}

async function searchAsOf(run: ModelRun, index: ModelIndex): Promise<void> {
  const { dice } = run
  const asOf = dice.chance(0.7)
    ? dice.int(Math.max(0, index.lsn - 20), index.lsn)
    : dice.int(0, index.lsn)
  const filter = dice.chance(0.3) ? dice.filter() : null
  const { asked, body } = drawnSearch(run, index, { exact: dice.chance(0.3), filter })
  const among = index.history.asOf(asOf)
  const isById = dice.chance(0.2) && among.length > 0
  const self = isById ? dice.pick(among) : null
  const { vector, ...rest } = body
  const target = self === null ? { vector } : { id: self.id }
  const reply = await run.send('POST', `${index.path}/search`, { ...rest, ...target, as_of: asOf })
  const answer = answered(reply, 200) as SearchAnswer & { readonly as_of: unknown }
  const { horizonLsn } = index.history
  assert.deepEqual(answer.as_of, {
    ...{ lsn: asOf, complete: asOf >= horizonLsn, complete_from: horizonLsn },
  })
  assert.equal(answer.path, 'exact')
  const about = self === null ? asked : { ...asked, vector: self.vector, self: self.id }
  checkSearch(answer, index, { ...about, exact: true, among }, run.recall)
}

function anyId({ dice }: ModelRun, index: ModelIndex): string {
  const { ids } = index.history
  return ids.length > 0 && dice.chance(0.95) ? dice.pick(ids) : dice.id()
}

function pathOf(index: ModelIndex, id: string): string {
  return `${index.path}/points/${encodeURIComponent(id)}`
}
