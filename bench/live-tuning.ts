/**
 * What does the autotune agent make of an index that serves, and what does that cost its searches?
 *
 * GloVe, cosine, k 10, filled into the default configuration (M 16, efConstruction 200, ef by k). While
 * background clients search, the agent tries up to `builds` configurations, measured on what those
 * clients ask, and rolls out what it chooses, by itself. Then blocks of clients take turns, in one run: the default graph at the smallest
 * ef of a ladder that finds 95 % of the true neighbours, the default as it is installed, and what the
 * agent chose, with the ef that it chose. These queries are held out: words that the index does not
 * hold and that nobody asked for while it was tuned.
 */

import { gloveSplit, type Split } from './support/glove.ts'
import { groundTruth, type TruthRef } from './support/ground-truth.ts'
import { cpuMark, sharedSince } from './support/machine.ts'
import { treeCpuMs } from './support/process-cpu.ts'
import { print, progress, readOptions, type Options, type Row } from './support/report.ts'
import { SearchLoad, type CheckedRun } from './support/search-load.ts'
import { BenchServer, withFolder } from './support/server.ts'
import { createIndex, EF_LADDER, fill, K, RECALL_MIN } from './support/service.ts'
import { median } from './support/statistics.ts'
import {
  awaitTuned,
  promoteByHand,
  rollBack,
  startAgent,
  trialsOf,
} from './support/tuning-session.ts'

const INDEX = 'glove'
const CLIENTS = 8
/** What the server chooses for k = 10 where nobody names an ef. */
const DEFAULT_EF = 80
/** Searches beside tuning: two clients that rest between their searches. */
const BACKGROUND = { clients: 2, pauseMs: 20 } as const
const BLOCK_MS = 10_000
/** Words of the background clients, and as many others that the sides are measured on. */
const QUERIES = 1000
const ASKED = Array.from({ length: QUERIES }, (_, i) => i)
const HELD_OUT = Array.from({ length: QUERIES }, (_, i) => QUERIES + i)

interface Size {
  readonly rows: number
  readonly builds: number
  readonly idleBlocks: number
  readonly rounds: number
}

const FULL: Size = { rows: 100_000, builds: 5, idleBlocks: 3, rounds: 4 }
const QUICK: Size = { rows: 10_000, builds: 3, idleBlocks: 2, rounds: 2 }

interface Bench {
  readonly server: BenchServer
  readonly split: Split
  readonly truth: TruthRef
  readonly size: Size
}

/** A block of clients, and how busy others kept the machine meanwhile. */
interface Block extends CheckedRun {
  readonly serviceCpuMsPerQuery: number
  readonly othersCores: number
}

const options = readOptions()
const size = options.quick ? QUICK : FULL
const split = gloveSplit(size.rows, 2 * QUERIES)
const truth = groundTruth(split, K)
await withFolder(async (root) => {
  const env = { VECTORD_RECALL_KEEP_QUERIES: 'true' }
  const server = await BenchServer.start(root, { profile: options.profile, env })
  try {
    await createIndex(server, INDEX, split.base.dimension)
    await fill(server, INDEX, split.base)
    await measure({ server, split, truth, size }, options)
    await server.stop()
  } finally {
    await server.kill()
  }
})

async function measure(bench: Bench, how: Options): Promise<void> {
  const { server } = bench
  const ladderEf = await smallestEf(bench)
  const background = await load(bench, null, ASKED)
  const block = (): Promise<CheckedRun> => background.run({ ...BACKGROUND, durationMs: BLOCK_MS })
  await block()
  const before: CheckedRun[] = []
  for (let i = 0; i < bench.size.idleBlocks; i += 1) before.push(await block())
  const during: CheckedRun[] = []
  const started = performance.now()
  await startAgent(server, INDEX, { goal: RECALL_MIN, builds: bench.size.builds })
  const end = await awaitTuned(server, INDEX, async () => void during.push(await block()))
  const tuningS = (performance.now() - started) / 1000
  const after: CheckedRun[] = []
  for (let i = 0; i < bench.size.idleBlocks; i += 1) after.push(await block())
  await background.close()
  const trials = await trialsOf(server, INDEX)
  const sides = await takeTurns(bench, { ladderEf, ...end })
  const idleP99 = median([...before, ...after].map(({ p99Ms }) => p99Ms))
  const [best, plain, chosen] = [sides.ladder, sides.installed, sides.chosen]
  const qps = (blocks: readonly Block[]): number => median(blocks.map((one) => one.qps))
  print(
    {
      bench: 'live-tuning',
      parameters: {
        ...{ data: bench.split.name, held_out_queries: QUERIES, metric: 'cosine', k: K },
        ...{ goal: RECALL_MIN, builds_allowed: bench.size.builds, clients: CLIENTS },
        background: `${BACKGROUND.clients} clients, ${BACKGROUND.pauseMs} ms between searches`,
        ...{
          block_s: BLOCK_MS / 1000,
          tuning_s: Math.round(tuningS),
          ended: end.why,
          promoted: end.isPromoted,
        },
      },
      tables: {
        trials,
        'background searches beside tuning': [
          backgroundRow('idle before', before),
          backgroundRow('while tuning', during),
          backgroundRow('idle after', after),
        ],
        'blocks of clients, in turns': [
          sideRow(`default graph, ef ${ladderEf} (smallest with recall 0.95)`, best),
          sideRow('default graph, default ef', plain),
          sideRow(`chosen: m ${end.m}, ef_construction ${end.efConstruction}`, chosen),
        ],
      },
      targets: [
        {
          name: 'lowest recall@10 of a block of the choice, on held-out queries',
          value: Math.min(...chosen.map(({ recall }) => recall)),
          ...{ bound: RECALL_MIN, kind: 'at_least' },
        },
        {
          name: 'queries/s of the choice / default graph at its smallest ef',
          ...{ value: qps(chosen) / qps(best), bound: 1, kind: 'at_least' },
        },
        {
          name: 'p99 of background searches, while tuning / idle (medians of blocks)',
          value: median(during.map(({ p99Ms }) => p99Ms)) / idleP99,
          ...{ bound: 3, kind: 'at_most' },
        },
      ],
      notes: [`builds used: ${trials.filter((trial) => trial['built'] === 'yes').length}`],
    },
    how,
  )
}

async function load(
  bench: Bench,
  ef: number | null,
  only: readonly number[] = HELD_OUT,
): Promise<SearchLoad> {
  const generator = new SearchLoad()
  await generator.setup({
    ...{ url: bench.server.url, index: INDEX, queries: bench.split.queries.ref },
    ...{ truth: bench.truth, form: 'base64', k: K, ef, filters: [], only },
  })
  return generator
}

async function smallestEf(bench: Bench): Promise<number> {
  for (const ef of EF_LADDER) {
    const generator = await load(bench, ef)
    const run = await generator.run({ clients: 2, requests: QUERIES })
    await generator.close()
    if (run.recall >= RECALL_MIN) {
      progress(`default graph: recall ${run.recall.toFixed(4)} at ef ${ef}`)
      return ef
    }
  }
  throw new Error(`no ef of the ladder reaches recall ${RECALL_MIN}`)
}

interface Turns {
  readonly ladderEf: number
  readonly isPromoted: boolean
  readonly baselineTrial: string
}

/** Two changes of the graph a round; both graphs are kept, so that each is a matter of seconds. */
async function takeTurns(
  bench: Bench,
  { ladderEf, isPromoted, baselineTrial }: Turns,
): Promise<Readonly<Record<'ladder' | 'installed' | 'chosen', readonly Block[]>>> {
  const { server } = bench
  const atLadder = await load(bench, ladderEf)
  const atDefault = await load(bench, DEFAULT_EF)
  const atChosen = await load(bench, null)
  const sides: Record<'ladder' | 'installed' | 'chosen', Block[]> = {
    ...{ ladder: [], installed: [], chosen: [] },
  }
  for (let round = 1; round <= bench.size.rounds; round += 1) {
    // Now first, now last: whatever a block leaves behind meets each side.
    if (round % 2 === 1) sides.chosen.push(await clientsBlock(bench, atChosen))
    if (isPromoted) await promoteByHand(server, INDEX, baselineTrial)
    sides.ladder.push(await clientsBlock(bench, atLadder))
    sides.installed.push(await clientsBlock(bench, atDefault))
    if (isPromoted) await rollBack(server, INDEX)
    if (round % 2 === 0) sides.chosen.push(await clientsBlock(bench, atChosen))
    progress(
      `round ${round}: ` +
        Object.entries(sides)
          .map(([side, blocks]) => `${side} ${Math.round(blocks.at(-1)?.qps ?? 0)}/s`)
          .join(', '),
    )
  }
  await Promise.all([atLadder.close(), atDefault.close(), atChosen.close()])
  return sides
}

async function clientsBlock({ server }: Bench, generator: SearchLoad): Promise<Block> {
  await generator.run({ clients: CLIENTS, durationMs: 1000 })
  const cpu: number[] = []
  const mark = cpuMark()
  const run = await generator.run({
    ...{ clients: CLIENTS, durationMs: BLOCK_MS },
    around: () => void cpu.push(treeCpuMs(server.pid)),
  })
  const { othersCores } = sharedSince(mark)
  const [from = 0, to = 0] = cpu
  return { ...run, serviceCpuMsPerQuery: (to - from) / run.answers, othersCores }
}

function backgroundRow(what: string, blocks: readonly CheckedRun[]): Row {
  return {
    ...{ what, blocks: blocks.length },
    searches: blocks.reduce((sum, { answers }) => sum + answers, 0),
    p50_ms: median(blocks.map(({ p50Ms }) => p50Ms)),
    p99_ms: median(blocks.map(({ p99Ms }) => p99Ms)),
    worst_p99_ms: Math.max(...blocks.map(({ p99Ms }) => p99Ms)),
  }
}

function sideRow(what: string, blocks: readonly Block[]): Row {
  return {
    ...{ what, ef: blocks.at(-1)?.efUsed ?? null },
    recall: median(blocks.map(({ recall }) => recall)),
    qps: median(blocks.map(({ qps }) => qps)),
    p50_ms: median(blocks.map(({ p50Ms }) => p50Ms)),
    p99_ms: median(blocks.map(({ p99Ms }) => p99Ms)),
    cpu_ms_per_query: median(blocks.map((block) => block.serviceCpuMsPerQuery)),
    others_cores: median(blocks.map(({ othersCores }) => othersCores)),
  }
}
