/** Recall with its interval beside the goal, as a number and as a line. */

import type { JSX } from 'preact'
import type { SloStatus } from '../api/tuning-types.ts'
import { share } from '../format.ts'

const WIDTH = 100
const MIDDLE = 5

interface RecallProps {
  readonly recall: number | null
  readonly interval: readonly [number, number] | null
  readonly goal: number
  readonly status: SloStatus
}

const SPOKEN: Readonly<Record<SloStatus, string>> = {
  ok: 'the goal is held',
  at_risk: 'the goal is at risk',
  violated: 'the goal is missed',
  unknown: 'not known yet',
}

export function Recall({ recall, interval, goal, status }: RecallProps): JSX.Element {
  if (recall === null || interval === null) {
    return <span class="quiet">not measured yet (goal {share(goal)})</span>
  }
  const tone = { ok: '', unknown: 'few', at_risk: 'warn', violated: 'bad' }[status]
  const [low, high] = interval
  const from = Math.min(low, goal) - 0.02
  const at = (value: number): number => (WIDTH * (value - from)) / (1.005 - from)
  return (
    <div class={`recall ${tone}`}>
      <div class="nowrap">
        <strong>{share(recall)}</strong>{' '}
        <span class="small quiet">
          {share(low)}–{share(high)}, goal {share(goal)}
          {status === 'unknown' && ', few samples'}
        </span>
      </div>
      <svg viewBox={`0 0 ${WIDTH} 10`} preserveAspectRatio="none" role="img">
        <title>{`Recall ${share(recall)}: ${SPOKEN[status]}`}</title>
        <line class="track" x1="0" x2={WIDTH} y1={MIDDLE} y2={MIDDLE} />
        <line class="interval" x1={at(low)} x2={at(high)} y1={MIDDLE} y2={MIDDLE} />
        <line class="goal" x1={at(goal)} x2={at(goal)} y1="0" y2="10" />
      </svg>
    </div>
  )
}
