/**
 * The process of `Baseline`: nothing in it but hnswlib-node and a loop.
 */

import hnswlib from 'hnswlib-node'
import type {
  BaselineBuild,
  BaselineCall,
  BaselineSearch,
  BuildTimes,
  LoopTimes,
} from './baseline.ts'
import { readTruth, recallOf } from './ground-truth.ts'
import { mean, percentile } from './statistics.ts'
import { readVectors, rowOf } from './vectors.ts'
import { serve } from './worker-process.ts'

let graph: hnswlib.HierarchicalNSW | null = null

serve(async (call: BaselineCall): Promise<BuildTimes | LoopTimes | null> => {
  switch (call.kind) {
    case 'build':
      return build(call)
    case 'load':
      graph = new hnswlib.HierarchicalNSW('cosine', call.dimension)
      await graph.readIndex(call.file)
      return null
    case 'save':
      await built().writeIndex(call.file)
      return null
    case 'search':
      return search(built(), call)
  }
})

function built(): hnswlib.HierarchicalNSW {
  if (graph === null) throw new Error('build or load comes first')
  return graph
}

function build({ base, m, efConstruction, seed }: BaselineBuild): BuildTimes {
  const vectors = readVectors(base)
  const next = new hnswlib.HierarchicalNSW('cosine', vectors.dimension)
  next.initIndex(vectors.rows, m, efConstruction, seed)
  const cpu = process.cpuUsage()
  const start = performance.now()
  for (let row = 0; row < vectors.rows; row += 1) {
    next.addPoint(Array.from(rowOf(vectors, row)), row)
  }
  const wallMs = performance.now() - start
  const spent = process.cpuUsage(cpu)
  graph = next
  return {
    wallMs,
    cpuMs: (spent.user + spent.system) / 1000,
    pointsPerS: (1000 * vectors.rows) / wallMs,
    rssBytes: process.memoryUsage.rss(),
  }
}

function search(index: hnswlib.HierarchicalNSW, call: BaselineSearch): LoopTimes {
  const vectors = readVectors(call.queries)
  const queries = Array.from({ length: vectors.rows }, (_, row) => Array.from(rowOf(vectors, row)))
  const found: number[][] = []
  const latencies: number[] = []
  // A loaded graph has ef 10, whatever it was built with.
  index.setEf(call.ef)
  const cpu = process.cpuUsage()
  const start = performance.now()
  const end = start + call.durationMs
  let now = start
  for (let sent = 0; now < end || sent < queries.length; sent += 1) {
    const query = sent % queries.length
    const { neighbors } = index.searchKnn(queries[query] as number[], call.k)
    const done = performance.now()
    latencies.push(done - now)
    now = done
    if (sent < queries.length) found.push(neighbors)
  }
  const wallMs = now - start
  const spent = process.cpuUsage(cpu)
  const truth = readTruth(call.truth)
  return {
    queries: latencies.length,
    qps: (1000 * latencies.length) / wallMs,
    cpuMsPerQuery: (spent.user + spent.system) / 1000 / latencies.length,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
    recall: mean(found.map((neighbors, query) => recallOf(truth, query, neighbors))),
  }
}
