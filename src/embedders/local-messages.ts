/**
 * What is said between the service and the process of the built-in embedder.
 */

import type { EmbedderIdentity } from './embedder.ts'

export interface LocalRequest {
  readonly id: number
  readonly texts: readonly string[]
}

export type LocalReply =
  /** The model is loaded. */
  | { readonly kind: 'ready'; readonly identity: EmbedderIdentity }
  | { readonly kind: 'vectors'; readonly id: number; readonly vectors: readonly Float32Array[] }
  /** The model threw. */
  | { readonly kind: 'refused'; readonly id: number; readonly message: string }
