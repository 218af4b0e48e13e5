/** What is done again and again beside all requests, and how often. */

import type { Logger } from 'pino'
import type { Config } from './config/schema.ts'
import { residenceOf } from './core-report.ts'
import { Periodic } from './lib/periodic.ts'
import { troubleLog, type Parts } from './parts.ts'
import type { TuningParts } from './tuning-parts.ts'

/** How often the buckets are looked at for what other servers did. */
const REFRESH_MS = 5000
/** How often the memory of the processes is looked at; cores tell theirs four times a second. */
const MEMORY_MS = 100
/** How often journals are written out and merged. */
const JOURNALS_MS = 10_000
/** How often it is looked whether a rollout is to be ended. */
const ALARMS_MS = 5000
/** How often it is looked whether an index came into service, which may have something to sweep. */
const SWEEPS_MS = 1000

export type PeriodicWork = Readonly<
  Record<
    'refresh' | 'health' | 'memory' | 'journals' | 'alarms' | 'compactions' | 'sweeps',
    Periodic
  >
>

/** Nothing runs before `startWork`. */
export function periodicWork(parts: Parts, tuning: TuningParts, log: Logger): PeriodicWork {
  const { buckets, indexes, dataplane, memory } = parts
  const trouble = troubleLog(log)
  const lookTrouble = (error: unknown): void => {
    trouble(error, 'look for changes in the buckets')
  }
  const refresh = async (): Promise<void> => {
    await buckets.refresh().catch(lookTrouble)
    await indexes.refresh()
    await tuning.refresh()
  }
  const observe = async (): Promise<void> => {
    memory.observe(residenceOf(dataplane, parts.lance))
  }
  return {
    refresh: new Periodic(refresh, lookTrouble),
    health: new Periodic(() => buckets.health(), lookTrouble),
    memory: new Periodic(observe, lookTrouble),
    journals: new Periodic(
      () => tuning.upkeep(),
      (error) => {
        trouble(error, 'write the journals')
      },
    ),
    alarms: new Periodic(
      () => tuning.alarms.look(),
      (error) => {
        trouble(error, 'look for alarms of rollouts')
      },
    ),
    compactions: new Periodic(
      () => tuning.compactions.run(),
      (error) => {
        trouble(error, 'compact indexes')
      },
    ),
    sweeps: new Periodic(() => parts.drops.sweep(), lookTrouble),
  }
}

export function startWork(
  { refresh, health, memory, journals, alarms, compactions, sweeps }: PeriodicWork,
  config: Config,
): void {
  const rounds = [
    { work: refresh, everyMs: REFRESH_MS },
    { work: health, everyMs: config.buckets.healthIntervalMs },
    { work: memory, everyMs: MEMORY_MS },
    { work: journals, everyMs: JOURNALS_MS },
    { work: alarms, everyMs: ALARMS_MS },
    { work: compactions, everyMs: config.compaction.intervalS * 1000 },
    { work: sweeps, everyMs: SWEEPS_MS },
  ]
  for (const { work, everyMs } of rounds) work.start(everyMs)
}
