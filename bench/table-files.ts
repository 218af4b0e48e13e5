/**
 * How fast are tables written to files, read from them and sent in an export, and in how much memory?
 *
 * Each measurement is a process of its own, which tells its time and its peak of memory. Beside ours
 * stands parquet-wasm called plainly, on the same rows: a whole table written from one Arrow table, and
 * a whole file read into one. Vectors are random numbers, which no compression makes smaller. The rows
 * are made once and given again and again, so that making them costs nothing.
 */

import { spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { print, progress, readOptions, type Row, type Target } from './support/report.ts'
import { withFolder } from './support/server.ts'

const WORKER = fileURLToPath(new URL('support/table-files-worker.ts', import.meta.url))
const FORMATS = ['parquet', 'arrow', 'ndjson', 'csv'] as const
const MIB = 2 ** 20

const options = readOptions()
const scale = options.quick ? 0.1 : 1
const VECTOR_ROWS = 100_000 * scale
const MIXED_ROWS = 1_000_000 * scale
const VECTOR_BYTES = VECTOR_ROWS * 768 * 4

interface Measured {
  readonly ms: number
  readonly peakMib: number
}

await withFolder(async (folder) => {
  const vectors = table('vectors', VECTOR_ROWS, folder)
  const mixed = table('mixed', MIXED_ROWS, folder)
  print(
    {
      bench: 'table-files',
      parameters: { vectors: `${VECTOR_ROWS} × 768`, mixed: `${MIXED_ROWS} × 8 columns` },
      tables: { vectors, mixed },
      targets: [
        { ...rate('vectors written, MB/s', vectors, 'mb_s'), bound: 60 },
        { ...rate('mixed rows written, thousands/s', mixed, 'krows_s'), bound: 300 },
      ],
      notes: [
        'MB are those of the numbers of the vectors, or of the file of mixed rows',
        'NDJSON and CSV are read twice: once for the types of all rows, once for the rows',
      ],
    },
    options,
  )
})

function table(kind: 'vectors' | 'mixed', rows: number, folder: string): Row[] {
  const all: Row[] = []
  const measure = (what: string, action: string, format: string): void => {
    progress(`${kind}: ${what}`)
    const path = join(folder, `${kind}.${format}`)
    const { ms, peakMib } = run(action, { kind, rows, path, format })
    const bytes = kind === 'vectors' ? VECTOR_BYTES : statSync(path).size
    all.push({
      what,
      ...{ ms, krows_s: rows / ms, mb_s: bytes / 1000 / ms, peak_rss_mib: peakMib },
      file_mib: statSync(path).size / MIB,
    })
  }
  measure('parquet-wasm writes parquet', 'plain-write', 'parquet')
  measure('parquet-wasm reads parquet', 'plain-read', 'parquet')
  for (const format of FORMATS) {
    measure(`vectord writes ${format}`, 'write', format)
    measure(`vectord reads ${format}`, 'read', format)
  }
  return all
}

function run(
  action: string,
  { kind, rows, path, format }: { kind: string; rows: number; path: string; format: string },
): Measured {
  const args = [WORKER, action, kind, String(rows), path, format]
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${action} ${kind} ${format}: ${stderr}`)
  return JSON.parse(stdout) as Measured
}

function rate(
  name: string,
  rows: readonly Row[],
  column: 'mb_s' | 'krows_s',
): Omit<Target, 'bound'> {
  const row = rows.find((one) => one['what'] === 'vectord writes parquet')
  return { name, value: Number(row?.[column]), kind: 'at_least' }
}
