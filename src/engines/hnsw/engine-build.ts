/**
 * What the search addon was compiled for: `npm ci` writes it beside the addon.
 */

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

export interface EngineBuild {
  /** `avx512`, `avx2`, `sse` or what else the build said; `unknown` where it said nothing. */
  readonly instructionSet: string
  readonly cpu: string
  /** The compiler's `-march`. */
  readonly builtFor: string
}

/** Never throws: a service whose build is unknown still serves. */
export function engineBuild(): EngineBuild {
  const record = readRecord()
  const text = (name: string): string => {
    const value = record[name]
    return typeof value === 'string' ? value : 'unknown'
  }
  return {
    instructionSet: text('instruction_set'),
    cpu: text('cpu'),
    builtFor: text('built_for'),
  }
}

function readRecord(): Record<string, unknown> {
  try {
    const manifest = createRequire(import.meta.url).resolve('hnswlib-node/package.json')
    const path = join(dirname(manifest), 'build', 'vectord-cpu.json')
    const json: unknown = JSON.parse(readFileSync(path, 'utf8'))
    return typeof json === 'object' && json !== null ? { ...json } : {}
  } catch {
    // Nobody recorded the build, or the record is torn: unknown says so.
    return {}
  }
}
