/**
 * What a search costs besides the graph walk: round trips a second and CPU on both sides.
 *
 *     node test/dataplane/round-trips.bench.ts [seconds]
 */

import { setTimeout as delay } from 'node:timers/promises'
import { Dataplane } from '../../src/dataplane/dataplane.ts'
import type { RemoteShard } from '../../src/dataplane/remote-shard.ts'
import { ECHO_HOST, MemorySource, queryOf } from './specs.ts'

const seconds = Number(process.argv[2] ?? 2)

async function measure(
  plane: Dataplane,
  shard: RemoteShard,
  load: { readonly clients: number; readonly dimension: number; readonly spinUs: number },
): Promise<void> {
  const filter = load.spinUs > 0 ? { spin_us: load.spinUs } : null
  const vector = Array.from({ length: load.dimension }, (_, i) => i / 7)
  const query = queryOf(filter, vector)
  const latenciesMs: number[] = []
  const endMs = performance.now() + seconds * 1000
  const client = async (): Promise<void> => {
    while (performance.now() < endMs) {
      const startMs = performance.now()
      await shard.search(query, { deadlineMs: Date.now() + 1000 })
      latenciesMs.push(performance.now() - startMs)
    }
  }
  const coreBefore = plane.cores()[0]?.cpuS ?? 0
  const before = process.cpuUsage()
  await Promise.all(Array.from({ length: load.clients }, client))
  const { user, system } = process.cpuUsage(before)
  await delay(600)
  const coreUs = ((plane.cores()[0]?.cpuS ?? 0) - coreBefore) * 1e6
  const requests = latenciesMs.length
  latenciesMs.sort((a, b) => a - b)
  const row = {
    ...load,
    per_s: Math.round(requests / seconds),
    p50_us: Math.round((latenciesMs[requests >> 1] ?? 0) * 1000),
    p99_us: Math.round((latenciesMs[Math.floor(requests * 0.99)] ?? 0) * 1000),
    front_cpu_us: Math.round((10 * (user + system)) / requests) / 10,
    core_cpu_us: Math.round((10 * coreUs) / requests) / 10,
  }
  process.stdout.write(`${JSON.stringify(row)}\n`)
}

const plane = new Dataplane({ cores: 1, hostModule: ECHO_HOST })
const shard = await plane.attach(new MemorySource('echo'))
await shard.whenReady()
await measure(plane, shard, { clients: 16, dimension: 100, spinUs: 0 })
for (const [clients, dimension, spinUs] of [
  [16, 100, 0],
  [16, 768, 0],
  [1, 100, 0],
  [16, 100, 120],
  [1, 100, 120],
] as const) {
  await delay(600)
  await measure(plane, shard, { clients, dimension, spinUs })
}
await plane.close()
