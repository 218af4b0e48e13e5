/**
 * The keys of `[ingest]`: data from databases and files. A part of the table in `schema.ts`.
 */

import { int } from './key-kinds.ts'

const MIB = 2 ** 20
const GIB = 1024 * MIB
const HOUR_MS = 3_600_000

export const INGEST_KEYS = {
  workers_max: int(
    1,
    [1, 16],
    'processes',
    'Ingests at the same time, each in a process of its own; others wait.',
  ),
  queue_max: int(
    16,
    [0, 10_000],
    'ingests',
    'Ingests that may wait; past it new ones are answered 503.',
  ),
  niceness: int(
    10,
    [0, 19],
    'steps',
    'How far ingests give way to searches and writes on a busy machine; 19 the most.',
  ),
  worker_memory_bytes_max: int(
    2 * GIB,
    [256 * MIB, 1024 * GIB],
    'bytes',
    'Memory of the process of an ingest past which it is ended and the ingest fails.',
  ),
  silence_ms: int(
    60_000,
    [1000, HOUR_MS],
    'ms',
    'How long a file may bring no row before its ingest fails: damaged ones may hang their reader.',
  ),
  file_bytes_max: int(
    64 * GIB,
    [MIB, 1024 * 1024 * GIB],
    'bytes',
    'Largest file that is ingested, as a body or from a bucket.',
  ),
  watch_files_max: int(
    10_000,
    [1, 1_000_000],
    'files',
    'Files below a watched prefix; those beyond are not looked at until others go.',
  ),
} as const
