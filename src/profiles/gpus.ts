/**
 * The GPUs of this machine, by `nvidia-smi`. A machine without it has none that we know of.
 */

import { runProgram } from '../processes/run-program.ts'

const MIB = 1024 * 1024
const TIMEOUT_MS = 5000
const FIELDS = 'index,uuid,memory.total,memory.used,memory.free,utilization.gpu,name'
const ARGS = [`--query-gpu=${FIELDS}`, '--format=csv,noheader,nounits']
/** What a driver prints for what it does not know: `[N/A]`, `[Not Supported]`. */
const UNKNOWN = /^\[.*\]$/

export interface Gpu {
  readonly index: number
  readonly uuid: string
  readonly name: string
  readonly totalBytes: number | null
  readonly usedBytes: number | null
  readonly freeBytes: number | null
  /** 0 to 1, of the last moments. */
  readonly utilization: number | null
}

export interface GpuReport {
  readonly gpus: readonly Gpu[]
  /** Why they are not known; null where they are, or where there is no `nvidia-smi`. */
  readonly problem: string | null
}

export async function listGpus(program = 'nvidia-smi', timeoutMs = TIMEOUT_MS): Promise<GpuReport> {
  const result = await runProgram(program, { args: ARGS, timeoutMs })
  if (result.kind === 'absent') return { gpus: [], problem: null }
  if (result.kind === 'failed') return { gpus: [], problem: `nvidia-smi: ${result.reason}` }
  return parseGpus(result.output)
}

/** Lines that do not read as they should are told, never shown as numbers. */
export function parseGpus(output: string): GpuReport {
  const gpus: Gpu[] = []
  for (const line of output.split('\n')) {
    if (line.trim() === '') continue
    const gpu = parseGpu(line)
    if (gpu === null) return { gpus: [], problem: 'nvidia-smi: it printed an unknown form' }
    gpus.push(gpu)
  }
  return { gpus, problem: null }
}

function parseGpu(line: string): Gpu | null {
  // The name comes last: it alone may hold commas.
  const [index = '', uuid = '', total, used, free, utilization, ...name] = line
    .split(',')
    .map((field) => field.trim())
  const numbers = [total, used, free, utilization].map(numberOf)
  if (!/^\d+$/.test(index) || uuid === '' || name.length === 0) return null
  if (numbers.includes(undefined)) return null
  const [totalMib, usedMib, freeMib, percent] = numbers.map((number) => number ?? null)
  const bytes = (mib: number | null | undefined): number | null =>
    mib === null || mib === undefined ? null : mib * MIB
  return {
    ...{ index: Number(index), uuid, name: name.join(', ') },
    ...{ totalBytes: bytes(totalMib), usedBytes: bytes(usedMib), freeBytes: bytes(freeMib) },
    utilization: percent === null || percent === undefined ? null : percent / 100,
  }
}

/** Null for what the driver does not know; undefined for what is no number. */
function numberOf(field: string | undefined): number | null | undefined {
  if (field === undefined) return undefined
  if (UNKNOWN.test(field)) return null
  return /^\d+(\.\d+)?$/.test(field) ? Number(field) : undefined
}
