/**
 * How much memory of the machine a process takes, as the kernel counts it.
 */

import { readFile } from 'node:fs/promises'

/** Memory is counted in pages of this size on every machine that we run on. */
const PAGE_BYTES = 4096

/** Null where the process is gone, or the system does not tell. */
export async function residentBytes(pid: number): Promise<number | null> {
  let text: string
  try {
    text = await readFile(`/proc/${pid}/statm`, 'utf8')
  } catch {
    return null
  }
  const pages = Number(text.split(' ')[1])
  return Number.isFinite(pages) ? pages * PAGE_BYTES : null
}
