/**
 * What the numbers were measured on.
 */

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, tmpdir, totalmem } from 'node:os'
import { engineBuild } from '../../src/engines/hnsw/engine-build.ts'

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
  /** Processes that wanted a core in the minute before: above 0 at the start, others work too. */
  readonly loadAtStart: number
}

const LOAD_AT_START = loadavg()[0] ?? 0

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
    loadAtStart: LOAD_AT_START,
  }
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
