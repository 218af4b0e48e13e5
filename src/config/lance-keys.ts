/**
 * The keys of `[lance]`: how tables of the backend `lance` are kept in shape. A part of the table in
 * `schema.ts`.
 */

import { int, number } from './key-kinds.ts'

const DAY_S = 24 * 3600

export const LANCE_KEYS = {
  optimize_interval_secs: int(
    600,
    [1, DAY_S],
    's',
    'How often it is looked which Lance tables have files to merge, rows that their indices lack,' +
      ' or versions to drop.',
  ),
  versions_keep_secs: int(
    DAY_S,
    [60, 365 * DAY_S],
    's',
    'Age up to which versions of a Lance table can be read by as_of; each takes what it does not' +
      ' share with the newest.',
  ),
  unindexed_ratio: number(
    0.05,
    [0, 1],
    'share of the rows',
    'Share of the rows that an index of a Lance table lacks from which on they are taken in; until' +
      ' then they are compared one by one.',
  ),
} as const
