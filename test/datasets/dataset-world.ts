/** Publications of tests. */

import {
  type DatasetColumn,
  type DatasetPart,
  type Publication,
  type PublishMode,
} from '../../src/datasets/dataset.ts'
import { VectordError } from '../../src/lib/errors.ts'

export const HOUR_MS = 3600 * 1000
export const COLUMNS: readonly DatasetColumn[] = [
  { name: 'id', type: 'int64', nullable: false, pii: [] },
  { name: 'mail', type: 'utf8', nullable: true, pii: ['email'] },
  { name: 'v', type: 'vector', nullable: true, dimension: 3, pii: [] },
]
export const ANY = { expected: 'any', by: 'ada' } as const

export function coded(code: string): (error: unknown) => boolean {
  return (error) => error instanceof VectordError && error.code === code
}

export function publication(
  mode: PublishMode,
  parts: readonly DatasetPart[],
  more: Partial<Publication> = {},
): Publication {
  const rows = parts.reduce((sum, part) => sum + part.rows, 0)
  return {
    ...{ mode, columns: COLUMNS, parts, watermark: null },
    lineage: {
      ...{ sourceSystem: 'file', dsn: 'upload', queryOrTable: 'x.csv', rows, mode },
      ...{ startedMs: 1000, finishedMs: 2000 },
    },
    ...more,
  }
}
