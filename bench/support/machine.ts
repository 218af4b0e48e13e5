/**
 * What the numbers were measured on.
 */

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os'
import { engineBuild } from '../../src/engines/hnsw/engine-build.ts'
import { TICK_MS, treeCpuMs } from './process-cpu.ts'

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGib: number
  /** What hnswlib-node was compiled for. */
  readonly instructionSet: string
  readonly node: string
  readonly os: string
  /** File system of the data folder. */
  readonly disk: string
  readonly commit: string
  /** Cores that processes outside of this run kept busy while it ran: near 0, or the run is void. */
  readonly othersCores: number
  /** Cores that the host gave to somebody else meanwhile. */
  readonly stolenCores: number
}

/** A moment in the CPU time of the machine and of this run. */
export interface CpuMark {
  readonly ms: number
  readonly busyMs: number
  readonly stolenMs: number
  readonly ownMs: number
}

const START = cpuMark()

export function machine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGib: Math.round(totalmem() / 2 ** 30),
    instructionSet: engineBuild().instructionSet,
    node: process.version,
    os: `${process.platform} ${process.arch}`,
    disk: diskOf(tmpdir()),
    commit: commit(),
    ...sharedSince(START),
  }
}

export function cpuMark(): CpuMark {
  return { ms: performance.now(), ...machineCpu(), ownMs: treeCpuMs(process.pid) }
}

/** All benches measure against wall time somewhere: neighbours on the machine falsify them. */
export function sharedSince(mark: CpuMark): Pick<Machine, 'othersCores' | 'stolenCores'> {
  const now = cpuMark()
  const ms = now.ms - mark.ms
  const othersMs = now.busyMs - mark.busyMs - (now.ownMs - mark.ownMs)
  return {
    othersCores: Math.max(0, othersMs / ms),
    stolenCores: (now.stolenMs - mark.stolenMs) / ms,
  }
}

/** CPU time of the whole machine since it started. */
function machineCpu(): Pick<CpuMark, 'busyMs' | 'stolenMs'> {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n')
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line
    .split(/\s+/)
    .slice(1)
    .map((ticks) => Number(ticks) * TICK_MS)
  return { busyMs: user + nice + system + irq + softirq, stolenMs: steal }
}

/** The file system type of the longest mount point that holds `path`. */
function diskOf(path: string): string {
  let best = { point: '', type: 'unknown' }
  for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
    const [, point = '', type = ''] = line.split(' ')
    const holds = path === point || path.startsWith(point === '/' ? '/' : `${point}/`)
    if (holds && point.length >= best.point.length) best = { point, type }
  }
  return best.type
}

function commit(): string {
  try {
    const options = { cwd: import.meta.dirname, encoding: 'utf8' } as const
    const head = execFileSync('git', ['rev-parse', '--short', 'HEAD'], options).trim()
    const isClean = execFileSync('git', ['status', '--porcelain'], options) === ''
    return isClean ? head : `${head} with changes`
  } catch {
    // A release without .git has no commit to name.
    return 'unknown'
  }
}
