/**
 * The file beside a graph that says which row each label stands for.
 *
 *     "VDLABEL1" | labels u32 | 0 u32 | labels × lsn f64 | labels × row u32; little-endian
 *
 * Rows are named by (lsn, row), which no restart changes. A label whose row was dead already has
 * lsn -1. The others ascend.
 */

import { open, readFile } from 'node:fs/promises'
import { VectordError } from '../lib/errors.ts'

const MAGIC = Buffer.from('VDLABEL1')
const HEADER_BYTES = 16

/** The lsn of a label whose row nobody can ask for again. */
export const DEAD_LSN = -1

export interface LabelRows {
  readonly lsns: Float64Array
  readonly rows: Uint32Array
}

/** Writes a new file, synced once resolved. */
export async function writeLabels(path: string, { lsns, rows }: LabelRows): Promise<void> {
  const header = Buffer.alloc(HEADER_BYTES)
  MAGIC.copy(header)
  header.writeUInt32LE(lsns.length, MAGIC.length)
  const file = await open(path, 'wx')
  try {
    await file.writev([header, Buffer.from(lsns.buffer), Buffer.from(rows.buffer)])
    await file.sync()
  } finally {
    await file.close()
  }
}

/** @throws {VectordError} `object_corrupt` where the file is not what `writeLabels` wrote. */
export async function readLabels(path: string): Promise<LabelRows> {
  const bytes = await readFile(path)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const labels = bytes.length < HEADER_BYTES ? -1 : view.getUint32(MAGIC.length, true)
  if (bytes.length !== HEADER_BYTES + labels * 12 || bytes.indexOf(MAGIC) !== 0) {
    throw new VectordError('object_corrupt', 'A labels file does not have its form.')
  }
  const lsns = new Float64Array(labels)
  const rows = new Uint32Array(labels)
  for (let label = 0; label < labels; label += 1) {
    lsns[label] = view.getFloat64(HEADER_BYTES + label * 8, true)
    rows[label] = view.getUint32(HEADER_BYTES + labels * 8 + label * 4, true)
  }
  return { lsns, rows }
}
