/**
 * How fast is a search over HTTP, beside the same hnswlib called in a loop?
 *
 * GloVe, cosine, k 10, M 16, efConstruction 200, at the smallest ef of a ladder that finds 95 % of
 * the true neighbours through HTTP. Blocks of the loop and of 16 clients take turns in one run, so
 * that a machine that grows slower slows both; each block of clients is compared with the mean of
 * the loops before and after it, and the median of these ratios counts. Every answer is checked.
 */

import { Baseline, type LoopTimes } from './support/baseline.ts'
import { bytesOf, cachedFile, contentKey } from './support/cache.ts'
import { gloveSplit, type Split } from './support/glove.ts'
import { groundTruth, type TruthRef } from './support/ground-truth.ts'
import { cpuMark, sharedSince } from './support/machine.ts'
import { cpuMsByProcess, treeCpuMs } from './support/process-cpu.ts'
import {
  print,
  progress,
  readOptions,
  type Options,
  type Row,
  type Target,
} from './support/report.ts'
import { SearchLoad, type BodyForm, type CheckedRun } from './support/search-load.ts'
import { BenchServer, withFolder } from './support/server.ts'
import { createIndex, EF_LADDER, fill, GRAPH, K, RECALL_MIN } from './support/service.ts'
import { mean, median } from './support/statistics.ts'

const INDEX = 'glove'
const CLIENTS = 16
/** Cores that others may use beside a block that counts. */
const QUIET_CORES = 0.1
const QUIET_BLOCKS_MIN = 3
const FORMS: readonly BodyForm[] = ['json', 'base64']

interface Size {
  readonly rows: number
  readonly queries: number
  readonly rounds: number
  readonly blockMs: number
}

const FULL: Size = { rows: 100_000, queries: 1000, rounds: 5, blockMs: 4000 }
const QUICK: Size = { rows: 10_000, queries: 1000, rounds: 3, blockMs: 1000 }

/** A loop and how busy others kept the machine meanwhile. */
interface Loop extends LoopTimes {
  readonly othersCores: number
}

/** One block of clients and what the service spent on it. */
interface Served extends CheckedRun {
  readonly serviceCpuMsPerQuery: number
  readonly frontCpuMsPerQuery: number
  readonly othersCores: number
}

/** Against the loops beside it; `othersCores` is the worst of the three. */
interface Block extends Served {
  readonly form: BodyForm
  readonly qpsRatio: number
  readonly cpuRatio: number
}

interface Bench {
  readonly server: BenchServer
  readonly split: Split
  readonly truth: TruthRef
  readonly size: Size
  readonly loads: Readonly<Record<BodyForm, SearchLoad>>
  readonly baseline: Baseline
}

const options = readOptions()
const size = options.quick ? QUICK : FULL
const split = gloveSplit(size.rows, size.queries)
const truth = groundTruth(split, K)
const loads = { json: new SearchLoad(), base64: new SearchLoad() }
const baseline = new Baseline()
try {
  await withFolder(async (root) => {
    const server = await BenchServer.start(root, { profile: options.profile })
    try {
      await createIndex(server, INDEX, split.base.dimension)
      await fill(server, INDEX, split.base)
      await loadBaseline(baseline, split)
      await measure({ server, split, truth, size, loads, baseline }, options)
      await server.stop()
    } finally {
      await server.kill()
    }
  })
} finally {
  await Promise.all([loads.json.close(), loads.base64.close(), baseline.close()])
}

async function measure(bench: Bench, how: Options): Promise<void> {
  const ladder = await climb(bench)
  const chosen = ladder.at(-1)
  if (chosen === undefined || Number(chosen['recall']) < RECALL_MIN) {
    throw new Error(`no ef reaches recall ${RECALL_MIN}: ${JSON.stringify(ladder)}`)
  }
  const ef = Number(chosen['ef'])
  for (const form of FORMS) await setUp(bench, form, ef)
  const { blocks, loops } = await takeTurns(bench, ef)
  const singles = await oneClient(bench)
  print(
    {
      bench: 'search',
      parameters: {
        ...{ data: split.name, held_out_queries: size.queries, metric: 'cosine', k: K },
        ...{ m: GRAPH.m, ef_construction: GRAPH.efConstruction, seed: GRAPH.seed, ef },
        ...{ clients: CLIENTS, rounds: size.rounds, block_s: size.blockMs / 1000 },
        loop: 'hnswlib-node searchKnn, one process, queries as plain arrays beforehand',
      },
      tables: {
        'recall through HTTP (ef is the first that reaches 0.95)': ladder,
        'blocks, in turns': [...loops.map(loopRow), ...blocks.map(blockRow)],
        '1 client': singles,
      },
      targets: [
        recallTarget('recall@10 at the chosen ef', Number(chosen['recall'])),
        ...FORMS.flatMap((form) => targetsOf(form, blocks)),
      ],
      notes: [
        quietNote(blocks),
        'service CPU is that of all its processes; the load generator takes the same cores',
        `every answer was checked: ${blocks.reduce((sum, { answers }) => sum + answers, 0)} under load`,
      ],
    },
    how,
  )
}

function recallTarget(name: string, value: number): Target {
  return { name, value, bound: RECALL_MIN, kind: 'at_least' }
}

/** Blocks that count: the undisturbed ones, or all where there are too few of them. */
function counted(blocks: readonly Block[], form: BodyForm): readonly Block[] {
  const quiet = quietBlocks(blocks, form)
  return quiet.length >= QUIET_BLOCKS_MIN ? quiet : blocks.filter((block) => block.form === form)
}

function targetsOf(form: BodyForm, blocks: readonly Block[]): Target[] {
  const own = counted(blocks, form)
  const of = `median of ${own.length} blocks, ${form}`
  const recall = Math.min(...own.map((block) => block.recall))
  return [
    recallTarget(`lowest recall@10 of a block under load (${form})`, recall),
    {
      name: `throughput of ${CLIENTS} clients / loop (${of})`,
      ...{ value: median(own.map((block) => block.qpsRatio)), bound: 0.7, kind: 'at_least' },
    },
    {
      name: `CPU of the service / loop per query (${of})`,
      ...{ value: median(own.map((block) => block.cpuRatio)), bound: 2, kind: 'at_most' },
    },
  ]
}

function quietNote(blocks: readonly Block[]): string {
  const used = FORMS.map((form) => counted(blocks, form))
  const isQuiet = used.every((own) => own.every((block) => block.othersCores <= QUIET_CORES))
  return isQuiet
    ? `counted are blocks in which others used at most ${QUIET_CORES} cores`
    : 'too few blocks were undisturbed: all count, and the ratios are not to be relied on'
}

/** The graph of the loop is built once and kept: the same input gives the same bytes. */
async function loadBaseline(loop: Baseline, { base }: Split): Promise<void> {
  const key = contentKey(bytesOf(base.data), JSON.stringify(GRAPH))
  const file = await cachedFile(`bare-${key}.hnsw`, async (path) => {
    await loop.build(base.ref, GRAPH)
    await loop.save(path)
  })
  await loop.load(file, base.dimension)
}

/** Rows of the ladder up to the first ef with enough recall, each over all queries. */
async function climb(bench: Bench): Promise<Row[]> {
  const rows: Row[] = []
  for (const ef of EF_LADDER) {
    await setUp(bench, 'json', ef)
    const run = await bench.loads.json.run({ clients: 4, requests: bench.size.queries })
    const loop = await loopFor(bench, ef, 0)
    rows.push({ ef, ef_used: run.efUsed, recall: run.recall, recall_of_loop: loop.recall })
    if (run.recall >= RECALL_MIN) break
  }
  return rows
}

async function setUp(bench: Bench, form: BodyForm, ef: number): Promise<void> {
  const { server, loads: generators } = bench
  await generators[form].setup({
    ...{ url: server.url, index: INDEX, queries: bench.split.queries.ref },
    ...{ truth: bench.truth, form, k: K, ef, filters: [] },
  })
}

function loopFor(bench: Bench, ef: number, durationMs: number): Promise<LoopTimes> {
  const { queries } = bench.split
  return bench.baseline.search({ queries: queries.ref, truth: bench.truth, k: K, ef, durationMs })
}

/**
 * loop, json, loop, base64, loop, json, …: each block of clients between two loops. Goes on until
 * enough blocks had the machine for themselves, or three times as long.
 */
async function takeTurns(bench: Bench, ef: number): Promise<{ blocks: Block[]; loops: Loop[] }> {
  const { blockMs, rounds } = bench.size
  const loops: Loop[] = []
  const blocks: Block[] = []
  const loop = async (): Promise<Loop> => {
    const mark = cpuMark()
    const times = await loopFor(bench, ef, blockMs)
    const done = { ...times, othersCores: sharedSince(mark).othersCores }
    loops.push(done)
    return done
  }
  for (const form of FORMS) await clientsBlock(bench, form)
  let before = await loop()
  for (let round = 1; round <= 3 * rounds && !hasEnough(blocks, rounds); round += 1) {
    for (const form of FORMS) {
      const block = await clientsBlock(bench, form)
      const after = await loop()
      const cpuOfLoops = mean([before.cpuMsPerQuery, after.cpuMsPerQuery])
      blocks.push({
        ...block,
        form,
        qpsRatio: block.qps / mean([before.qps, after.qps]),
        cpuRatio: block.serviceCpuMsPerQuery / cpuOfLoops,
        othersCores: Math.max(before.othersCores, block.othersCores, after.othersCores),
      })
      const [qps, loopQps, others] = [block.qps, after.qps, block.othersCores]
      progress(
        `round ${round} ${form}: ${Math.round(qps)} queries/s, loop ${Math.round(loopQps)}, ` +
          `others ${others.toFixed(2)} cores`,
      )
      before = after
    }
  }
  return { blocks, loops }
}

function hasEnough(blocks: readonly Block[], rounds: number): boolean {
  return FORMS.every((form) => quietBlocks(blocks, form).length >= rounds)
}

function quietBlocks(blocks: readonly Block[], form: BodyForm): Block[] {
  return blocks.filter((block) => block.form === form && block.othersCores <= QUIET_CORES)
}

async function clientsBlock(
  { server, loads: generators, size: { blockMs } }: Bench,
  form: BodyForm,
): Promise<Served> {
  const all: number[] = []
  const front: number[] = []
  const around = (): void => {
    all.push(treeCpuMs(server.pid))
    front.push(cpuMsByProcess(server.pid).get(server.pid) ?? 0)
  }
  const mark = cpuMark()
  const run = await generators[form].run({ clients: CLIENTS, durationMs: blockMs, around })
  const perQuery = ([before = 0, after = 0]: readonly number[]): number =>
    (after - before) / run.answers
  return {
    ...run,
    serviceCpuMsPerQuery: perQuery(all),
    frontCpuMsPerQuery: perQuery(front),
    othersCores: sharedSince(mark).othersCores,
  }
}

async function oneClient(bench: Bench): Promise<Row[]> {
  const rows: Row[] = []
  for (const form of FORMS) {
    const run = await bench.loads[form].run({ clients: 1, durationMs: bench.size.blockMs })
    const { p50Ms, p99Ms, qps, recall, requestBytes, answerBytes } = run
    rows.push({
      ...{ body: form, p50_ms: p50Ms, p99_ms: p99Ms, qps, recall },
      ...{ request_bytes: Math.round(requestBytes), answer_bytes: Math.round(answerBytes) },
    })
  }
  return rows
}

function loopRow(loop: Loop): Row {
  return {
    ...{ what: 'loop', qps: loop.qps, p50_ms: loop.p50Ms, p99_ms: loop.p99Ms },
    ...{ cpu_ms_per_query: loop.cpuMsPerQuery, front_cpu_ms: null, generator_cpu_ms: null },
    ...{ recall: loop.recall, qps_ratio: null, cpu_ratio: null },
    others_cores: loop.othersCores,
  }
}

function blockRow(block: Block): Row {
  return {
    ...{ what: `${CLIENTS} clients, ${block.form}`, qps: block.qps },
    ...{ p50_ms: block.p50Ms, p99_ms: block.p99Ms },
    cpu_ms_per_query: block.serviceCpuMsPerQuery,
    front_cpu_ms: block.frontCpuMsPerQuery,
    generator_cpu_ms: block.generatorCpuMs / block.answers,
    ...{ recall: block.recall, qps_ratio: block.qpsRatio, cpu_ratio: block.cpuRatio },
    others_cores: block.othersCores,
  }
}
