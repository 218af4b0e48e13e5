/**
 * Exact truth and sampled rows for eval sets, made by builders over a fresh checkpoint: cores that
 * serve are not asked.
 */

import type { Builders, BuilderSession } from '../dataplane/builders.ts'
import { decodeQueries, encodeQueries } from '../domain/workbench.ts'
import { onDataset } from '../indexes/rebuild.ts'
import type { ServedIndex } from '../indexes/served-index.ts'
import type {
  RowSample,
  TruthAnswer,
  TruthControl,
  TruthQuestion,
  TruthSource,
} from '../journal/truth-source.ts'

export class DatasetTruth implements TruthSource {
  readonly #builders: Pick<Builders, 'session'>
  readonly #served: (index: string) => ServedIndex

  /** @param served throws `index_not_found`. */
  constructor(builders: Pick<Builders, 'session'>, served: (index: string) => ServedIndex) {
    this.#builders = builders
    this.#served = served
  }

  async truth(index: string, question: TruthQuestion, control: TruthControl): Promise<TruthAnswer> {
    const { queries, dimension, k, selfIds } = question
    return this.#session(index, control, async (session) => {
      const { lsn, points } = await session.run('describe', {})
      const rows = encodeQueries(queries, dimension, selfIds)
      return { lsn, points, truth: await session.run('truth', { queries: rows, k }) }
    })
  }

  async sample(
    index: string,
    options: { readonly count: number; readonly seed: number; readonly noise: number },
    control: TruthControl,
  ): Promise<RowSample> {
    return this.#session(index, control, async (session) => {
      const rows = await session.run('sampleRows', options)
      const selfIds = rows.selfIds.flatMap((id) => (id === null ? [] : [id]))
      return { queries: decodeQueries(rows), selfIds }
    })
  }

  #session<T>(
    index: string,
    { signal, progress }: TruthControl,
    work: (session: BuilderSession) => Promise<T>,
  ): Promise<T> {
    const onProgress = ({ stage, fraction }: { stage: string; fraction: number }): void => {
      progress(stage, { done: Math.round(fraction * 100), total: 100 })
    }
    return onDataset(this.#served(index), this.#builders, { signal, onProgress }, work)
  }
}
