/**
 * What is promoted for an index and what was before, as lists: promote, roll back, roll forward.
 */

import type { JsonObject } from './model-point.ts'

const KEPT_MAX = 50

/** An entry as the service answered it when it was promoted. */
export type ModelEntry = JsonObject & { readonly trial_id: string }

export class ModelPromotions {
  revision = 0
  current: ModelEntry | null = null
  history: readonly ModelEntry[] = []
  redo: readonly ModelEntry[] = []

  /** What searches say as their `config_source`. */
  get source(): string {
    return this.current === null ? 'default' : `promoted:${this.current.trial_id}`
  }

  get canRollBack(): boolean {
    return this.current !== null || this.history.length > 0
  }

  promote(entry: ModelEntry): void {
    this.history = withNewest(this.history, this.current)
    this.current = entry
    this.redo = []
    this.revision += 1
  }

  rollBack(): void {
    this.redo = withNewest(this.redo, this.current)
    this.current = this.history.at(-1) ?? null
    this.history = this.history.slice(0, -1)
    this.revision += 1
  }

  rollForward(): void {
    this.history = withNewest(this.history, this.current)
    this.current = this.redo.at(-1) ?? null
    this.redo = this.redo.slice(0, -1)
    this.revision += 1
  }
}

function withNewest(
  entries: readonly ModelEntry[],
  newest: ModelEntry | null,
): readonly ModelEntry[] {
  return newest === null ? entries : [...entries, newest].slice(-KEPT_MAX)
}
