/**
 * CPU time and memory of a process with all its descendants, from /proc (Linux).
 *
 * CPU counts children that have ended and were waited for; times are in steps of 10 ms, so
 * differences are taken over blocks of seconds.
 */

import { readdirSync, readFileSync } from 'node:fs'

/** Linux answers in 1/100 s, whatever its own tick (USER_HZ). */
export const TICK_MS = 10
const KIB = 1024

export interface ProcessMemory {
  readonly pid: number
  readonly rssBytes: number
  /** Highest so far. */
  readonly peakBytes: number
  /** As `rssBytes`, with pages that n processes share counted as 1/n each. */
  readonly pssBytes: number
}

/** `root` and all that descends from it now. */
function processTree(root: number): number[] {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const parent = statFields(Number(name))?.[1]
    if (parent === undefined) continue
    children.set(parent, [...(children.get(parent) ?? []), Number(name)])
  }
  const tree = [root]
  for (const pid of tree) tree.push(...(children.get(pid) ?? []))
  return tree
}

/** Milliseconds of CPU, user and system, of `root` and its descendants since they started. */
export function treeCpuMs(root: number): number {
  let ticks = 0
  for (const pid of processTree(root)) {
    const fields = statFields(pid)
    if (fields === null) continue
    // utime, stime, cutime, cstime: fields 14 to 17, of which the first two are cut off.
    ticks += fields.slice(11, 15).reduce((sum, value) => sum + value, 0)
  }
  return ticks * TICK_MS
}

/** CPU of each process of the tree apart: who spent it. */
export function cpuMsByProcess(root: number): Map<number, number> {
  const spent = new Map<number, number>()
  for (const pid of processTree(root)) {
    const fields = statFields(pid)
    if (fields === null) continue
    spent.set(pid, ((fields[11] ?? 0) + (fields[12] ?? 0)) * TICK_MS)
  }
  return spent
}

export function treeMemory(root: number): ProcessMemory[] {
  return processTree(root).flatMap((pid) => {
    const status = readProc(pid, 'status')
    const rollup = readProc(pid, 'smaps_rollup')
    if (status === null || rollup === null) return []
    const kib = (text: string, name: string): number =>
      KIB * Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0)
    return [
      {
        pid,
        rssBytes: kib(status, 'VmRSS'),
        peakBytes: kib(status, 'VmHWM'),
        pssBytes: kib(rollup, 'Pss'),
      },
    ]
  })
}

/** Numbers of /proc/PID/stat from field 3 on: the state (NaN), the parent, … */
function statFields(pid: number): number[] | null {
  const stat = readProc(pid, 'stat')
  // The name in field 2 may hold anything but ends at the last parenthesis.
  return stat === null
    ? null
    : stat
        .slice(stat.lastIndexOf(')') + 2)
        .split(' ')
        .map(Number)
}

/** Null where the process is gone. */
function readProc(pid: number, file: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ESRCH') return null
    throw error
  }
}
