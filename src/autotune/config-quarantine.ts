/**
 * What the agent does not try again, and when it stops trying.
 *
 *     a rollback ─▶ its configuration is out for this epoch of the data
 *                ─▶ the agent waits 30 min, 1 h, 2 h … for each rollback of the last day
 *     the third in a day ─▶ halted, until a person clears it with a note
 *
 * A configuration counts with its ef: the same graph may be fine at another. Other points are
 * another chance: entries of earlier epochs hold nobody back.
 *
 * Pure functions over plain data. A clock that was set back makes times in the future; they count
 * as now, so nothing is held longer than its time from now on. The halt does not depend on time.
 */

import { VectordError } from '../lib/errors.ts'

const ROLLBACKS_A_DAY_MAX = 3
export const ENTRIES_MAX = 256
export const COOLDOWN_MIN_MS = 1_800_000
const COOLDOWN_MAX_MS = 86_400_000
const DAY_MS = 86_400_000

export interface QuarantineEntry {
  /** See `configKey`. */
  readonly configKey: string
  /** Fingerprint of the points. */
  readonly epoch: string
  readonly reason: string
  readonly atMs: number
}

/** JSON as it is. */
export interface ConfigQuarantine {
  readonly format: 1
  /** Oldest first. */
  readonly entries: readonly QuarantineEntry[]
  /** Times of the rollbacks of the last day, oldest first. */
  readonly rollbacksMs: readonly number[]
  /** Why only a person may let the agent go on; null: it may. */
  readonly halted: string | null
}

export const EMPTY_QUARANTINE: ConfigQuarantine = {
  format: 1,
  entries: [],
  rollbacksMs: [],
  halted: null,
}

/** The name of a configuration at an ef. @param canonicalKey see `src/domain/trial.ts`. */
export function configKey(canonicalKey: string, ef: number): string {
  return `${canonicalKey},ef_search=${ef}`
}

export function isQuarantined(
  quarantine: ConfigQuarantine,
  config: { readonly configKey: string; readonly epoch: string },
): boolean {
  return quarantine.entries.some(
    (entry) => entry.configKey === config.configKey && entry.epoch === config.epoch,
  )
}

/** Puts a configuration out of use that served nobody, so that nothing was rolled back. */
export function quarantineConfig(
  quarantine: ConfigQuarantine,
  entry: QuarantineEntry,
): ConfigQuarantine {
  if (isQuarantined(quarantine, entry)) return quarantine
  return { ...quarantine, entries: [...quarantine.entries, entry].slice(-ENTRIES_MAX) }
}

/** Records an automatic rollback at `entry.atMs`. */
export function recordRollback(
  quarantine: ConfigQuarantine,
  entry: QuarantineEntry,
): ConfigQuarantine {
  const nowMs = entry.atMs
  const recent = lastDay(quarantine, nowMs)
  const rollbacksMs = [...recent, nowMs].slice(-ROLLBACKS_A_DAY_MAX)
  const isTooMany = rollbacksMs.length >= ROLLBACKS_A_DAY_MAX
  const why = `${rollbacksMs.length} rollbacks in 24 hours, the last: ${entry.reason}`
  return {
    ...quarantineConfig(quarantine, entry),
    rollbacksMs,
    halted: isTooMany ? why : quarantine.halted,
  }
}

/** Brings times that lie in the future back to now; to be called when the agent wakes. */
export function seeClock(quarantine: ConfigQuarantine, nowMs: number): ConfigQuarantine {
  if (quarantine.rollbacksMs.every((atMs) => atMs <= nowMs)) return quarantine
  return { ...quarantine, rollbacksMs: quarantine.rollbacksMs.map((at) => Math.min(at, nowMs)) }
}

export type AgentHold =
  | { readonly held: false }
  /** `untilMs` null: until a person clears it. */
  | { readonly held: true; readonly reason: string; readonly untilMs: number | null }

export function agentHold(quarantine: ConfigQuarantine, nowMs: number): AgentHold {
  if (quarantine.halted !== null) return { held: true, reason: quarantine.halted, untilMs: null }
  const recent = lastDay(quarantine, nowMs)
  const last = recent.at(-1)
  if (last === undefined) return { held: false }
  const waitMs = Math.min(COOLDOWN_MAX_MS, COOLDOWN_MIN_MS * 2 ** (recent.length - 1))
  const untilMs = last + waitMs
  if (untilMs <= nowMs) return { held: false }
  return { held: true, reason: `waiting after ${recent.length} rollbacks`, untilMs }
}

/**
 * Lets a halted agent go on. What was quarantined stays so.
 *
 * @throws {VectordError} `bad_request` without a note.
 */
export function clearHalt(quarantine: ConfigQuarantine, note: string): ConfigQuarantine {
  checkNote(note)
  return { ...quarantine, rollbacksMs: [], halted: null }
}

/**
 * What a person forces against the agent carries the reason why.
 *
 * @throws {VectordError} `bad_request` for an empty note.
 */
export function checkNote(note: string): void {
  if (note.trim() !== '') return
  throw new VectordError('bad_request', 'A change by hand needs a note that says why.')
}

function lastDay({ rollbacksMs }: ConfigQuarantine, nowMs: number): number[] {
  return rollbacksMs.map((atMs) => Math.min(atMs, nowMs)).filter((atMs) => nowMs - atMs < DAY_MS)
}
