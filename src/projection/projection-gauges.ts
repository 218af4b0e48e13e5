/**
 * What an operator watches of the projection. Names of indexes are no labels: there may be many.
 */

import type { Projection } from './projection.ts'

export interface ProjectionGauge {
  /** Without the prefix `vectord_`. */
  readonly name: string
  readonly help: string
  readonly labels: readonly string[]
  /** Cheap, and never throws. */
  readonly read: () => readonly ProjectionSample[]
}

interface ProjectionSample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export function projectionGauges(
  projection: Pick<Projection, 'summary'>,
): readonly ProjectionGauge[] {
  const one = (read: () => number) => () => [{ labels: {}, value: read() }]
  const by = (label: string, read: () => Readonly<Record<string, number>>) => () =>
    Object.entries(read()).map(([word, value]) => ({ labels: { [label]: word }, value }))
  return [
    {
      ...{ name: 'projection_pending_texts', help: 'Texts that wait for a vector, by kind.' },
      labels: ['kind'],
      read: by('kind', () => ({ ...projection.summary.pending })),
    },
    {
      ...{ name: 'projection_failed_texts', help: 'Texts that could not be embedded.', labels: [] },
      read: one(() => projection.summary.failed),
    },
    {
      name: 'projection_freshness_seconds',
      help: 'Age of the oldest new text that waits for a vector.',
      labels: [],
      read: one(() => projection.summary.freshnessS),
    },
    {
      ...{ name: 'projection_texts_total', help: 'Texts by what became of them.' },
      labels: ['outcome'],
      read: by('outcome', () => {
        const { incremental, backfill, failed, discarded } = projection.summary.totals
        return { incremental, backfill, failed, discarded }
      }),
    },
    {
      name: 'projection_unavailable_ticks_total',
      help: 'Turns in which an embedder did not answer.',
      labels: [],
      read: one(() => projection.summary.unavailableTicks),
    },
  ]
}
