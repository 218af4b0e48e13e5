/**
 * What the Lance core is started with.
 */

export interface LanceArguments {
  readonly caches: {
    /** Bytes of indices that stay in memory. */
    readonly indexBytes: number
    /** Bytes of manifests, file footers and statistics that do. */
    readonly metadataBytes: number
  }
}
