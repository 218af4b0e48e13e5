/**
 * Every kind of operation of the model test, and drawing one by its weight.
 */

import type { Dice } from './dice.ts'
import { EVAL_KINDS } from './eval-kinds.ts'
import { INDEX_KINDS } from './index-kinds.ts'
import { KEYWORD_KINDS } from './keyword-kinds.ts'
import type { OperationKind } from './model-run.ts'
import { OBJECT_KINDS } from './object-kinds.ts'
import { PROMOTION_KINDS } from './promotion-kinds.ts'
import { READ_KINDS } from './read-kinds.ts'
import { REFUSED_KINDS } from './refused-kinds.ts'
import { RESTART_KINDS } from './restart-kinds.ts'
import { SEARCH_KINDS } from './search-kinds.ts'
import { UPKEEP_KINDS } from './upkeep-kinds.ts'
import { VERSION_KINDS } from './version-kinds.ts'
import { STREAM_KINDS } from './stream-kinds.ts'
import { MOVE_KINDS } from './move-kinds.ts'
import { WRITE_KINDS } from './write-kinds.ts'

export const KINDS: readonly OperationKind[] = [
  ...INDEX_KINDS,
  ...WRITE_KINDS,
  ...REFUSED_KINDS,
  ...READ_KINDS,
  ...SEARCH_KINDS,
  ...KEYWORD_KINDS,
  ...UPKEEP_KINDS,
  ...EVAL_KINDS,
  ...PROMOTION_KINDS,
  ...OBJECT_KINDS,
  ...RESTART_KINDS,
  ...VERSION_KINDS,
  ...STREAM_KINDS,
  ...MOVE_KINDS,
]

const WEIGHT = KINDS.reduce((sum, { weight }) => sum + weight, 0)

export function drawKind(dice: Dice): OperationKind {
  let left = dice.share() * WEIGHT
  for (const kind of KINDS) {
    left -= kind.weight
    if (left < 0) return kind
  }
  throw new Error('a share is less than one')
}

/** How often a kind is to be expected among `operations`. */
export function expectedCount({ weight }: OperationKind, operations: number): number {
  return (operations * weight) / WEIGHT
}
