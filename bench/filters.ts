/**
 * What does a filter cost a search, and does it still find its neighbours?
 *
 * Filters of known selectivity over metadata made by seed, against the unfiltered query at the same
 * ef, with recall against the exact answer among the rows that match. The last filters select the
 * rows that lie farthest from the queries, where a graph walk has the hardest time.
 */

import { gloveSplit } from './support/glove.ts'
import { filteredTruths, groundTruth, type TruthRef } from './support/ground-truth.ts'
import { print, progress, readOptions, type Row, type Target } from './support/report.ts'
import {
  cosinesTo,
  GROUPS,
  LOTS,
  ranksFrom,
  rowMetadata,
  type RowMetadata,
} from './support/row-metadata.ts'
import type { CheckedRun } from './support/search-load.ts'
import { BenchServer, withFolder } from './support/server.ts'
import { createIndex, fill, GRAPH, K, RECALL_MIN, searchOnce } from './support/service.ts'
import { rowOf } from './support/vectors.ts'

const INDEX = 'glove'
const EF = 192
/** Where the unfiltered search has 0.95 and nothing to spare: shows what a filter costs in recall. */
const TIGHT_EF = 128
/** Of the queries: those nearest to the pole, for the filters that select what is far from it. */
const CORRELATED_QUERIES = 0.2

interface Case {
  readonly name: string
  /** One for all queries, or several texts of the same meaning, one for each query. */
  readonly filters: readonly object[]
  readonly matches: (metadata: RowMetadata) => boolean
  /** Whether it is asked only from the queries near the pole. */
  readonly correlated?: true
}

interface Run {
  readonly one: Case
  readonly run: CheckedRun
  readonly tight: CheckedRun
  /** The same queries at the same ef without a filter. */
  readonly plain: CheckedRun
}

const CASES: readonly Case[] = [
  ...[0.001, 0.01, 0.1, 0.5].map((share) => below('lot', share)),
  {
    name: '0.1 % (group $eq)',
    filters: [{ group: 'g7' }],
    matches: ({ group }) => group === 'g7',
  },
  groups(0.1),
  {
    name: '5 % (lot and groups)',
    filters: [{ lot: { $lt: 0.5 * LOTS }, group: { $in: names(0.1) } }],
    matches: ({ lot, group }) => lot < 0.5 * LOTS && names(0.1).includes(group),
  },
  ...[0.001, 0.1].map((share) => neverSeen(below('lot', share), share)),
  ...[0.01, 0.1, 0.5].map((share): Case => ({ ...below('rank', share), correlated: true })),
]

const options = readOptions()
const rows = options.quick ? 10_000 : 100_000
const split = gloveSplit(rows, options.quick ? 200 : 500)
const pole = rowOf(split.queries, 0)
const ranks = ranksFrom(split.base, pole)
const metadata = Array.from({ length: rows }, (_, row) => rowMetadata(row, ranks))
const truths = filteredTruths(
  split,
  K,
  CASES.map(({ name, matches }) => ({
    name: name.replaceAll(/\W+/g, '-'),
    matches: (row) => matches(metadata[row] as RowMetadata),
  })),
)
const near = nearPole()
await withFolder(run)

async function run(root: string): Promise<void> {
  const server = await BenchServer.start(root, { profile: options.profile })
  try {
    await createIndex(server, INDEX, split.base.dimension)
    await fill(server, INDEX, split.base, { ranks })
    const all = groundTruth(split, K)
    await searchOnce(server, INDEX, { split, truth: all, ef: EF })
    const plain = await searchOnce(server, INDEX, { split, truth: all, ef: EF })
    const plainNear = await searchOnce(server, INDEX, { split, truth: all, ef: EF, only: near })
    const tight = await searchOnce(server, INDEX, { split, truth: all, ef: TIGHT_EF })
    const runs: Run[] = []
    for (const [i, one] of CASES.entries()) {
      const correlated = one.correlated === true
      const query = { split, truth: truths[i] as TruthRef, ef: EF, filters: one.filters }
      const only = correlated ? { only: near } : {}
      const found = await searchOnce(server, INDEX, { ...query, ...only })
      const tightRun = await searchOnce(server, INDEX, { ...query, ...only, ef: TIGHT_EF })
      runs.push({ one, run: found, tight: tightRun, plain: correlated ? plainNear : plain })
      progress(`${one.name}: p50 ${found.p50Ms.toFixed(2)} ms, recall ${found.recall.toFixed(3)}`)
    }
    await server.stop()
    const unfiltered = { name: 'no filter', filters: [], matches: () => true }
    print(
      {
        bench: 'filters',
        parameters: {
          ...{ data: split.name, queries: split.queries.rows, metric: 'cosine', k: K, ef: EF },
          ...{ m: GRAPH.m, ef_construction: GRAPH.efConstruction, clients: 1 },
          correlated: `the ${near.length} queries nearest to a pole, matches farthest from it`,
        },
        tables: {
          'each query once': [
            rowFor({ one: unfiltered, run: plain, tight, plain }),
            ...runs.map(rowFor),
          ],
        },
        targets: runs.map(({ one, run: found }) => recallTarget(one, found.recall)),
        notes: ['every answer was checked for min(k, matches) results in order'],
      },
      options,
    )
  } finally {
    await server.kill()
  }
}

function rowFor({ one, run, tight, plain }: Run): Row {
  return {
    filter: nameOf(one),
    matches: metadata.filter((row) => one.matches(row)).length,
    p50_ms: run.p50Ms,
    p99_ms: run.p99Ms,
    p50_of_unfiltered: run.p50Ms / plain.p50Ms,
    recall: run.recall,
    path: Object.keys(run.paths).join(' '),
    ef_used: run.efUsed,
    [`recall_at_ef_${TIGHT_EF}`]: tight.recall,
  }
}

function recallTarget(one: Case, value: number): Target {
  return { name: `recall@10, ${nameOf(one)}`, value, bound: RECALL_MIN, kind: 'at_least' }
}

function nameOf({ name, correlated }: Case): string {
  return correlated === true ? `${name}, far from the query` : name
}

/** The smallest `share` of the values of a field that is spread evenly over `LOTS`. */
function below(field: 'lot' | 'rank', share: number): Case {
  const bound = Math.round(share * LOTS)
  return {
    name: `${share * 100} % (${field} $lt)`,
    filters: [{ [field]: { $lt: bound } }],
    matches: (row) => row[field] < bound,
  }
}

/** The service keeps what a filter matched: here each query has a filter it has not seen. */
function neverSeen(one: Case, share: number): Case {
  const bound = Math.round(share * LOTS)
  return {
    ...one,
    name: `${one.name}, new for each query`,
    // Lots are whole numbers: each of these bounds selects the same rows.
    filters: Array.from({ length: 1000 }, (_, i) => ({ lot: { $lt: bound - i / 1001 } })),
  }
}

function groups(share: number): Case {
  const chosen = names(share)
  return {
    name: `${share * 100} % (group $in ${chosen.length})`,
    filters: [{ group: { $in: chosen } }],
    matches: ({ group }) => chosen.includes(group),
  }
}

function names(share: number): string[] {
  return Array.from({ length: share * GROUPS }, (_, i) => `g${i}`)
}

function nearPole(): number[] {
  const cosines = cosinesTo(split.queries, pole)
  const order = Array.from({ length: split.queries.rows }, (_, query) => query)
  order.sort((a, b) => (cosines[b] ?? 0) - (cosines[a] ?? 0))
  return order.slice(0, Math.round(CORRELATED_QUERIES * order.length))
}
