/**
 * Decides by the fill of its queue what a core still takes.
 *
 *              85 %                95 %
 *     normal ───────▶ throttled ───────▶ suspended
 *            ◀───────           ◀───────
 *              75 %                85 %
 *
 * Throttled: background requests are refused. Suspended: every request is, but for writes that are
 * logged already. The gap between entering and leaving keeps it from flapping.
 *
 * Pure: the fill is an argument.
 */

import { invariant } from '../lib/invariant.ts'

export type Pressure = 'normal' | 'throttled' | 'suspended'

const THROTTLE_ENTER = 0.85
const THROTTLE_LEAVE = 0.75
const SUSPEND_ENTER = 0.95
const SUSPEND_LEAVE = 0.85

export class Backpressure {
  readonly #queueMax: number
  #pressure: Pressure = 'normal'

  /** @param queueMax requests that may wait for an answer at once. */
  constructor(queueMax: number) {
    invariant(queueMax >= 1, 'a queue holds at least one request')
    this.#queueMax = queueMax
  }

  get pressure(): Pressure {
    return this.#pressure
  }

  /** Takes note that `queued` requests wait, and answers what follows. */
  update(queued: number): Pressure {
    this.#pressure = next(this.#pressure, queued / this.#queueMax)
    return this.#pressure
  }
}

function next(pressure: Pressure, fill: number): Pressure {
  if (fill >= SUSPEND_ENTER) return 'suspended'
  if (pressure === 'suspended' && fill > SUSPEND_LEAVE) return 'suspended'
  if (fill >= THROTTLE_ENTER) return 'throttled'
  if (pressure !== 'normal' && fill > THROTTLE_LEAVE) return 'throttled'
  return 'normal'
}
