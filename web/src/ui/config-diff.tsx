/** Two configurations side by side, with what changes told apart. */

import type { JSX } from 'preact'
import type { HnswConfig } from '../api/tuning-types.ts'

const FIELDS = [
  ['m', 'links of a point (m)'],
  ['ef_construction', 'ef of the build'],
  ['ef_search', 'ef of a search'],
  ['seed', 'seed'],
] as const

interface DiffProps {
  /** Null where nobody knows. */
  readonly now: HnswConfig | null
  readonly after: HnswConfig
}

export function ConfigDiff({ now, after }: DiffProps): JSX.Element {
  return (
    <table class="diff">
      <caption class="unseen">What changes</caption>
      <thead>
        <tr>
          <th scope="col">Setting</th>
          <th scope="col" class="number">
            Now
          </th>
          <th scope="col" class="number">
            After
          </th>
        </tr>
      </thead>
      <tbody>
        {FIELDS.map(([field, label]) => {
          const isChanged = now !== null && now[field] !== after[field]
          return (
            <tr key={field}>
              <th scope="row">{label}</th>
              <td class="number">{now === null ? '–' : valueOf(now[field])}</td>
              <td class={`number ${isChanged ? 'changed' : ''}`}>
                {valueOf(after[field])}
                {isChanged && <span class="unseen"> (changes)</span>}
              </td>
            </tr>
          )
        })}
      </tbody>
    </table>
  )
}

function valueOf(value: number | null): string {
  return value === null ? 'by k' : String(value)
}

/** A configuration in one line. */
export function Config({ config }: { config: HnswConfig | null | undefined }): JSX.Element {
  if (config === null || config === undefined) return <span class="quiet">–</span>
  return (
    <span class="nowrap">
      m {config.m} · ef_c {config.ef_construction}
      {config.ef_search !== null && ` · ef ${config.ef_search}`}
    </span>
  )
}
