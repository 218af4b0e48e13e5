/**
 * What keeps texts from their vectors, as operators are told.
 */

import type { EmbedderStamp } from '../domain/pending-text.ts'
import { VectordError } from '../lib/errors.ts'
import type { Identity, TextIndex } from './ports.ts'

export type BlockState = 'loading' | 'not_owner' | 'not_configured' | 'embedder_mismatch'

export interface Block {
  readonly state: BlockState
  /** Null where the state says it all. */
  readonly error: VectordError | null
  readonly atMs: number
}

export interface ProjectionFault {
  readonly code: string
  readonly message: string
  readonly atMs: number
}

/** @returns what keeps the texts of `index` from being embedded here; null where nothing does. */
export function blockOf({ info: { state, role } }: TextIndex, atMs: number): Block | null {
  if (state !== 'ready' && state !== 'degraded') return { state: 'loading', error: null, atMs }
  return role === 'owner' ? null : { state: 'not_owner', error: null, atMs }
}

/** As it is shown: nothing of the text, nor of what went wrong inside. */
export function reasonOf(error: unknown): { readonly code: string; readonly message: string } {
  if (error instanceof VectordError) return { code: error.code, message: error.message }
  return { code: 'internal', message: 'vectord failed to embed it; its log has the reason.' }
}

export function mismatchError(
  index: string,
  stamp: EmbedderStamp,
  identity: Identity,
): VectordError {
  const message =
    `Index "${index}" has vectors of ${inWords(stamp)}, but embedder "${stamp.name}" is now ` +
    `${inWords(identity)}.`
  const { name: _, ...expected } = stamp
  return new VectordError('embedder_mismatch', message, {
    details: { index, embedder: stamp.name, expected, found: { ...identity } },
  })
}

function inWords({ model, version, dimension, normalised }: Identity): string {
  return `${model} ${version} (${dimension} numbers${normalised ? ', normalised' : ''})`
}
