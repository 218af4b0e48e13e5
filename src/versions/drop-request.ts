/**
 * What is asked of the drop worker: old versions of one thing may go.
 *
 * A request is a wish and not a command to a file: it says which versions are given up, and the
 * handler of its kind looks at what is there when its turn comes. So a request that is sent twice, or
 * lost with its process, does no harm; the sweep at the next start finds what is left.
 */

import { invariant } from '../lib/invariant.ts'
import type { DropRule } from './drop-rules.ts'

export const DROP_KINDS = [
  'point_versions',
  'generations',
  'checkpoints',
  'log_segments',
  'journal_batches',
  'moved_copies',
] as const

export type DropKind = (typeof DROP_KINDS)[number]

export interface DropRequest extends DropRule {
  readonly kind: DropKind
  /** What the versions are of: the name of an index. */
  readonly key: string
}

/** A bug where it fails: requests come from code, never from clients. */
export function checkRequest(request: DropRequest): void {
  const { kind, key, upToVersion, keepLastVersions, commitVersion, pendingVersion } = request
  invariant(DROP_KINDS.includes(kind), 'a drop request is of a known kind')
  invariant(key !== '', 'a drop request has a key')
  for (const number of [upToVersion, keepLastVersions, commitVersion, pendingVersion]) {
    const isFine = number === undefined || (Number.isSafeInteger(number) && number >= 0)
    invariant(isFine, 'versions and counts are whole numbers from 0')
  }
}

/** A value for each kind. */
export function ofEachKind<T>(value: (kind: DropKind) => T): Readonly<Record<DropKind, T>> {
  return {
    point_versions: value('point_versions'),
    generations: value('generations'),
    checkpoints: value('checkpoints'),
    log_segments: value('log_segments'),
    journal_batches: value('journal_batches'),
    moved_copies: value('moved_copies'),
  }
}
