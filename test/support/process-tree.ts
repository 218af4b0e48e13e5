/**
 * What a process and all its descendants take of the machine, read from /proc.
 */

import { readdir, readFile } from 'node:fs/promises'

/** Resident bytes of a process and all its descendants. */
export async function treeRss(root: number): Promise<number> {
  let bytes = 0
  for (const pid of await processTree(root)) {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
    bytes += 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0)
  }
  return bytes
}

/** Open descriptors of a process and all its descendants. */
export async function treeDescriptors(root: number): Promise<number> {
  let count = 0
  for (const pid of await processTree(root)) {
    count += (await readdir(`/proc/${pid}/fd`).catch(() => [])).length
  }
  return count
}

/** A process and all its descendants. */
export async function processTree(root: number): Promise<number[]> {
  const parents = new Map<number, number>()
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const status = await readFile(`/proc/${entry}/status`, 'utf8').catch(() => '')
    parents.set(Number(entry), Number(/^PPid:\s+(\d+)/m.exec(status)?.[1] ?? 0))
  }
  const isOurs = (pid: number): boolean => {
    for (let at = pid; at > 1; at = parents.get(at) ?? 0) if (at === root) return true
    return false
  }
  return [...parents.keys()].filter(isOurs)
}
