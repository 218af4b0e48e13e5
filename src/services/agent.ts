/**
 * The autotune agent: proposes, tries, judges, rolls out and rolls back, one index at a time.
 *
 *     enqueue, periodic wake ─▶ queue ─▶ step of one index ─▶ again, until it is tuned
 *     every few seconds      ─▶ watch of every rollout: windows of real searches, bake time, retries
 *
 * - `stop` lets the trial under way end, `close` aborts it; the watch of a champion that bakes goes on
 *   until `close`: what protects is never switched off.
 * - The queue is a part of the state of each index, so a restart forgets no wish.
 * - A step that fails is kept as the error of its index, which rests for a while; others go on.
 */

import type { AgentSettingsChange } from '../autotune/agent-settings.ts'
import { WISHES, withWish, type Wish } from '../autotune/agent-state.ts'
import { checkNote, clearHalt, seeClock } from '../autotune/config-quarantine.ts'
import type { RolloutEvent } from '../autotune/rollout-state.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'
import { Periodic } from '../lib/periodic.ts'
import type { StoredSettings } from './agent-documents.ts'
import { AgentIndex, type AgentParts } from './agent-index.ts'
import { AgentRollout } from './agent-rollout.ts'
import { AgentWatch } from './agent-watch.ts'
import { AgentWork } from './agent-work.ts'
import type { OperationControl } from './operation.ts'
import type { SearchSeen } from './search-observer.ts'

/** How often rollouts are looked at. */
const WATCH_MS = 15_000
/** How often it is looked whether an index came into service. */
const GREET_MS = 500
/** Steps of a round: an index that goes on and on must not keep the wake from ending. */
const ROUND_STEPS_MAX = 1000
const MINUTE_MS = 60_000
const TUNING_CONTROL = 'agent'

export interface AgentOptions extends Omit<AgentParts, 'isStopped'> {
  /** Whether it works after the start of the server. */
  readonly enabled: boolean
  readonly wakeMs: number
}

/** An index with the parts of the agent that work on it. */
export interface AgentSeat {
  readonly index: AgentIndex
  readonly rollout: AgentRollout
  readonly work: AgentWork
  readonly watch: AgentWatch
  /** Whether this server wrote the index when the seat was taken. */
  readonly owned: boolean
}

export interface SettingsRequest {
  readonly by: string
  readonly note: string | null
  readonly ifRevision: number | null
  readonly clearHalt: boolean
}

export class Agent {
  readonly parts: AgentParts
  readonly #options: AgentOptions
  readonly #seats = new Map<string, AgentSeat>()
  readonly #turns = new KeyedMutex()
  readonly #abort = new AbortController()
  readonly #working: Periodic
  readonly #watching: Periodic
  readonly #greeting: Periodic
  readonly #greeted = new Set<string>()
  #isRunning: boolean
  #isClosed = false
  #minuteMs = 0
  #lookedMs = -Infinity

  constructor(options: AgentOptions) {
    this.#options = options
    this.#isRunning = options.enabled
    this.parts = { ...options, isStopped: () => !this.#isRunning }
    const { onTrouble } = options
    this.#working = new Periodic(
      () => this.#round(),
      (error) => onTrouble(error, 'let the autotune agent work'),
    )
    this.#watching = new Periodic(
      () => this.watch(),
      (error) => onTrouble(error, 'watch rollouts of the autotune agent'),
    )
    this.#greeting = new Periodic(
      async () => this.#greet(),
      (error) => onTrouble(error, 'look for new indexes for the autotune agent'),
    )
  }

  get isRunning(): boolean {
    return this.#isRunning
  }

  get seats(): readonly AgentSeat[] {
    return [...this.#seats.values()]
  }

  /** Starts the timers. */
  open(): void {
    this.#watching.start(WATCH_MS)
    this.#working.start(WATCH_MS)
    this.#greeting.start(GREET_MS)
  }

  start(): void {
    this.#isRunning = !this.#isClosed
    this.#working.soon()
  }

  /** The trial under way ends in peace; nothing else begins, and what is not champion ends. */
  async stop(): Promise<void> {
    this.#isRunning = false
    await this.watch()
  }

  /** Aborts what is under way, and waits for its end. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#isRunning = false
    this.#abort.abort(new VectordError('shutting_down', 'The service is shutting down.'))
    await this.#greeting.close()
    await this.#working.close()
    await this.#watching.close()
    await this.#alone(async () => undefined)
    for (const seat of this.seats) {
      await this.#guarded(seat, () => seat.index.flush('the server ends'))
    }
  }

  /** The index, where the agent has looked at it; null: not yet. */
  known(name: string): AgentIndex | null {
    return this.#seats.get(name)?.index ?? null
  }

  /** The index, loaded. @throws what the hands and its bucket throw. */
  seat(name: string): Promise<AgentSeat> {
    return this.#turns.run(`seat ${name}`, async () => {
      const { owned } = this.parts.hands.facts(name)
      const known = this.#seats.get(name)
      // What another server remembered since is read anew.
      if (known?.owned !== owned) return this.#open(name, owned)
      await known.index.load()
      return known
    })
  }

  /** Resolves when the wish is durable. One that waits already with the same right is enough. */
  async enqueue(name: string, reason: Wish): Promise<void> {
    const { index } = await this.#ownSeat(name)
    const atMs = this.parts.nowMs()
    if (reason === 'requested') index.retryAtMs = 0
    await index.update((state) => withWish(state, reason, atMs), `enqueued: ${reason}`)
    this.#working.soon()
  }

  /** Names of the queue, in its order. */
  get queue(): readonly { readonly index: string; readonly reason: Wish; readonly atMs: number }[] {
    return this.seats
      .flatMap(({ index }) => {
        const { wanted } = index.state
        return wanted === null ? [] : [{ index: index.name, ...wanted }]
      })
      .sort((a, b) => WISHES.indexOf(a.reason) - WISHES.indexOf(b.reason) || a.atMs - b.atMs)
  }

  /** A round of work: looks at every index, then takes steps until nothing can go on now. */
  async wake(): Promise<void> {
    this.#lookedMs = this.parts.nowMs()
    await this.#lookAtAll()
    await this.#work()
  }

  async #round(): Promise<void> {
    const sinceMs = Math.abs(this.parts.nowMs() - this.#lookedMs)
    const isNew = this.parts.hands.indexes().some((name) => !this.#seats.has(name))
    await (isNew || sinceMs >= this.#options.wakeMs ? this.wake() : this.#work())
  }

  /** An index that came into service is looked at now: until then nobody knows its goal. */
  #greet(): void {
    for (const name of this.parts.hands.indexes()) {
      if (this.#greeted.has(name) || !this.#isServed(name)) continue
      this.#greeted.add(name)
      this.#working.soon()
    }
  }

  #isServed(name: string): boolean {
    try {
      this.parts.hands.facts(name)
      return true
    } catch (error) {
      if (hasCode(error, 'index_not_found', 'index_loading', 'index_unavailable')) return false
      throw error
    }
  }

  async #work(): Promise<void> {
    for (let steps = 0; steps < ROUND_STEPS_MAX && this.#isRunning; steps += 1) {
      const next = this.#next()
      if (next === null) return
      await this.#alone(() => this.#step(next))
    }
  }

  /** A round of the watch: every rollout, every pending change, the latency of searches. */
  async watch(): Promise<void> {
    const nowMs = this.parts.nowMs()
    const isMinute = nowMs - this.#minuteMs >= MINUTE_MS || nowMs < this.#minuteMs
    if (isMinute) this.#minuteMs = nowMs
    for (const seat of this.seats) {
      await this.#guarded(seat, async () => {
        if (isMinute) seat.watch.takeLatency()
        await seat.watch.look()
        await seat.index.flush('what could not be stored before')
      })
    }
  }

  /** Work that a person asked for, beside no other work of the agent. */
  async asked<T>(
    work: (control: OperationControl) => Promise<T>,
    asked: OperationControl,
  ): Promise<T> {
    const signal = AbortSignal.any([asked.signal, this.#abort.signal])
    return this.#alone(() => work({ ...asked, signal }))
  }

  /** Durable once resolved. @throws {VectordError} `bad_request` without a note that is needed. */
  async change(
    name: string,
    change: AgentSettingsChange,
    { by, note, ifRevision, clearHalt: clears }: SettingsRequest,
  ): Promise<StoredSettings> {
    if (clears || hasPin(change)) checkNote(note ?? '')
    await this.#checkEval(name, change)
    const { index } = clears ? await this.#ownSeat(name) : await this.seat(name)
    const reason = note ?? 'changed'
    const isChanged = Object.keys(change).length > 0
    const stored = isChanged
      ? await this.parts.documents.change(name, change, { by, reason, ifRevision })
      : await this.parts.documents.settings(name)
    index.takeSettings(stored)
    if (isChanged) {
      const evidence = { revision: stored.revision, fields: Object.keys(change) }
      index.decide({ kind: 'settings', verdict: 'changed', reason, evidence, by })
    }
    if (clears) {
      const cleared = 'a halt is cleared'
      await index.update((s) => ({ ...s, quarantine: clearHalt(s.quarantine, reason) }), cleared)
      index.decide({ kind: 'halt', verdict: 'cleared', reason, by })
    }
    await this.#watchSoon(name)
    return stored
  }

  /** An eval set that is not there is refused now, by name, and not by the first trial. */
  async #checkEval(name: string, { evalName = null }: AgentSettingsChange): Promise<void> {
    if (evalName !== null) await this.parts.hands.ensureEval(name, evalName)
  }

  /** Hears of every search: quick, and never throws. */
  observe({ index, requestId, answer, tookMs }: SearchSeen): void {
    this.#seats.get(index)?.index.traffic.saw(requestId, tookMs, answer === null)
  }

  /** Something happened to a rollout: an alarm of recall, a dead core, memory that is short. */
  async tell(name: string, event: RolloutEvent): Promise<void> {
    const seat = this.#seats.get(name)
    if (seat !== undefined) await this.#guarded(seat, () => seat.rollout.send(event))
  }

  /** The promotions of an index have changed, by whomever. */
  async promotionsChanged(name: string): Promise<void> {
    await this.#watchSoon(name)
  }

  /** Forgets an index that was deleted. */
  async drop(name: string): Promise<void> {
    const seat = this.#seats.get(name)
    this.#seats.delete(name)
    this.#greeted.delete(name)
    await (seat === undefined ? this.parts.documents.drop(name) : seat.index.retire())
  }

  async #watchSoon(name: string): Promise<void> {
    const seat = this.#seats.get(name)
    if (seat !== undefined) await this.#guarded(seat, () => seat.watch.look())
  }

  /** @throws {VectordError} `not_owner` where another server writes the index. */
  async #ownSeat(name: string): Promise<AgentSeat> {
    const seat = await this.seat(name)
    if (seat.owned) return seat
    const message = `Another server writes index "${name}", and its agent tunes it.`
    throw new VectordError('not_owner', message, { details: { index: name } })
  }

  async #open(name: string, owned: boolean): Promise<AgentSeat> {
    const index = new AgentIndex(name, this.parts)
    await index.load()
    const rollout = new AgentRollout(index, this.parts)
    const work = new AgentWork(index, rollout, this.parts)
    const watch = new AgentWatch(index, rollout, this.parts)
    const seat = { index, rollout, work, watch, owned }
    this.#seats.set(name, seat)
    if (owned) await this.#guarded(seat, () => rollout.restore())
    return seat
  }

  /** Settings that others changed, clocks, and wishes of indexes that are not tuned. */
  async #lookAtAll(): Promise<void> {
    const names = new Set(this.parts.hands.indexes())
    for (const name of this.#seats.keys()) if (!names.has(name)) this.#seats.delete(name)
    for (const name of names) {
      try {
        const { index } = await this.seat(name)
        const nowMs = this.parts.nowMs()
        const quarantine = seeClock(index.state.quarantine, nowMs)
        if (quarantine !== index.state.quarantine) index.remember({ ...index.state, quarantine })
        if (this.#wantsWork(index)) await this.enqueue(name, 'periodic')
      } catch (error) {
        // One that loads or cannot be read now is looked at with the next wake.
        this.#lookFailed(name, error)
      }
    }
  }

  #lookFailed(name: string, error: unknown): void {
    if (hasCode(error, 'index_not_found', 'index_loading', 'index_unavailable')) return
    this.#seats.get(name)?.index.failed(error)
    this.parts.onTrouble(error, `look at index "${name}" for the autotune agent`)
  }

  #wantsWork(index: AgentIndex): boolean {
    if (index.settings.mode === 'off' || index.state.wanted !== null) return false
    const { owned, livePoints } = this.parts.hands.facts(index.name)
    const { epoch } = index.state
    const grew = Math.abs(livePoints - (epoch?.points ?? 0)) > (epoch?.points ?? 0) / 10
    return owned && (epoch === null || epoch.tuned === null || grew)
  }

  #next(): AgentSeat | null {
    const nowMs = this.parts.nowMs()
    for (const { index: name } of this.queue) {
      const seat = this.#seats.get(name)
      if (seat !== undefined && seat.index.retryAtMs <= nowMs) return seat
    }
    return null
  }

  async #step({ index, work }: AgentSeat): Promise<void> {
    index.isWorking = true
    try {
      await index.load()
      const { signal } = this.#abort
      const end = await work.step({ signal, progress: () => undefined })
      if (end === 'held') return
      const left = { reason: 'periodic', atMs: this.parts.nowMs() } as const
      const wanted = end === 'leave' ? null : left
      // A wish that came meanwhile stays as it is.
      await index.update(
        (state) => (state.wanted === work.wish ? { ...state, wanted } : state),
        `a step ended: ${end}`,
      )
    } catch (error) {
      index.failed(error)
      if (!this.#abort.signal.aborted) {
        this.parts.onTrouble(error, `tune index "${index.name}"`)
      }
    } finally {
      index.isWorking = false
    }
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    return this.#turns.run(TUNING_CONTROL, work)
  }

  async #guarded({ index }: AgentSeat, work: () => Promise<unknown>): Promise<void> {
    try {
      await work()
    } catch (error) {
      index.failed(error)
      this.parts.onTrouble(error, `watch the rollout of index "${index.name}"`)
    }
  }
}

function hasPin({ pinnedBy = null }: AgentSettingsChange): boolean {
  return pinnedBy !== null
}
