/** What a decision or a proposal rests on, as it was stored: folded up, since it can be long. */

import type { JSX } from 'preact'
import { DASH, words } from '../format.ts'
import { Facts } from './basics.tsx'

interface EvidenceProps {
  /** What stands where it is folded up. */
  readonly title: string
  readonly values: Readonly<Record<string, unknown>>
}

export function Evidence({ title, values }: EvidenceProps): JSX.Element {
  const entries = Object.entries(values)
  const nested = entries.filter(([, value]) => isNested(value))
  const plain = entries.filter(([, value]) => !isNested(value))
  return (
    <details>
      <summary>{title}</summary>
      <Facts
        facts={Object.fromEntries(plain.map(([name, value]) => [words(name), textOf(value)]))}
      />
      {nested.length > 0 && <pre>{JSON.stringify(Object.fromEntries(nested), null, 1)}</pre>}
    </details>
  )
}

/** Why a proposer chose what it did; how it came to that stands where it is folded up. */
export function Reason({ explain }: { explain: EvidenceProps['values'] }): JSX.Element {
  const { mode } = explain
  return (
    <Evidence title={typeof mode === 'string' ? words(mode) : 'its reasons'} values={explain} />
  )
}

function isNested(value: unknown): boolean {
  return typeof value === 'object' && value !== null
}

function textOf(value: unknown): string {
  if (typeof value === 'number') return String(Number(value.toPrecision(6)))
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  return typeof value === 'string' ? value : DASH
}
