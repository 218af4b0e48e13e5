/**
 * The one slot: the model of the active profile is in the memory of the model server, and that of the
 * profile before went first.
 *
 *     _profile_slot/{revision}.json in the primary bucket
 *
 *     store what is to be ─▶ unload what else the slot holds ─▶ preload ─▶ store that it is
 *
 * The wish is stored before the model server hears of it: after a crash the slot knows which models it
 * may have left in memory. Each step goes on from the revision that it has read, so of two servers one
 * wins, and the other takes back what it loaded. The caller lets one step run at a time.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { ObjectStore } from '../buckets/object-store.ts'
import { RevisionedDocument, type Revision } from '../buckets/revisioned-document.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { isIn, KEEP_ALIVE, type ModelMemory, without } from './model-memory.ts'
import type { Profile } from './profile.ts'
import {
  EMPTY_SLOT,
  type Slot,
  slotFault,
  slotFromJson,
  type SlotState,
  slotState,
  slotToJson,
} from './slot-state.ts'

const PREFIX = '_profile_slot/'
/** Revisions of the slot that stay: who activated what. */
const REVISIONS_KEPT = 50
/** Who only looks at the slot waits this long for the model server, and is told that it is unknown. */
const VIEW_WAIT_MS = 5000

export interface GpuSlotOptions {
  /** The primary bucket. */
  readonly store: ObjectStore
  /** Null where no model server is configured. */
  readonly models: ModelMemory | null
  readonly nowMs: () => number
  /** Told where a failure could not be stored either. */
  readonly onTrouble: (error: unknown, what: string) => void
}

export interface SlotView {
  readonly slot: Slot
  readonly state: SlotState
  /** Whether the model is in memory; null where there is none, or the model server did not say. */
  readonly isLoaded: boolean | null
  /** 0 before the first activation. */
  readonly revision: number
  /** When the slot became what it is, and by whom; null before the first activation. */
  readonly since: { readonly ms: number; readonly by: string } | null
}

/** What an activation did at the model server. */
export interface Loading {
  readonly revision: number
  /** Models that went. */
  readonly unloaded: readonly string[]
  /** False where the model was in memory and was left alone. */
  readonly preloaded: boolean
}

export class GpuSlot {
  readonly #options: GpuSlotOptions
  readonly #document: RevisionedDocument<Slot>
  #isWorking = false

  constructor(options: GpuSlotOptions) {
    this.#options = options
    const { store, nowMs } = options
    this.#document = new RevisionedDocument<Slot>({
      ...{ store, nowMs, prefix: PREFIX, name: 'the GPU slot', keep: REVISIONS_KEPT },
      codec: { toJson: slotToJson, fromJson: slotFromJson },
    })
  }

  /** The slot as it is stored. @throws {VectordError} every error of the bucket. */
  async stored(): Promise<Slot> {
    return (await this.#document.read())?.document ?? EMPTY_SLOT
  }

  /** The slot, held against what the model server says now. @throws as `stored`. */
  async view(): Promise<SlotView> {
    const found = await this.#document.read()
    const slot = found?.document ?? EMPTY_SLOT
    const loaded = slot.model === null ? null : await this.#loadedOrNull()
    return {
      slot,
      state: slotState(slot, loaded, this.#isWorking),
      isLoaded: loaded === null || slot.model === null ? null : isIn(loaded, slot.model),
      revision: found?.revision ?? 0,
      since: found === null ? null : { ms: found.writtenMs, by: found.author },
    }
  }

  /**
   * Brings the model of `profile` into memory, after what else the slot holds went.
   *
   * @throws {VectordError} `model_not_found`, `model_server_unavailable`: the slot says `failed` then,
   *   and the same call may be made again; `not_configured`; `revision_mismatch` where another server
   *   changed the slot meanwhile.
   */
  load({ document, revision }: Revision<Profile>, by: string): Promise<Loading> {
    const { id, model } = document
    const wish = { profile: id, profileRevision: revision, model, fault: null }
    return this.#working(async () => {
      const models = this.#needModels()
      const before = await this.#document.read()
      const resident = before?.document.resident ?? []
      const others = without(resident, model)
      const isThere = isIn(resident, model) && isIn(await loadedBy(models), model)
      if (isThere && others.length === 0) {
        const settled = await this.#settle(before, { ...wish, state: 'active', resident }, by)
        return { revision: settled, unloaded: [], preloaded: false }
      }
      const step = { models, by, held: new Set(isThere ? resident : others) }
      const loading: Slot = { ...wish, state: 'loading', resident: [...others, model] }
      const wished = await this.#write(before, loading, by)
      await this.#attempt(wished, step, async () => {
        for (const other of others) await takeOut(step, other)
        if (!isThere) await bringIn(step, model)
      })
      const active: Slot = { ...wish, state: 'active', resident: [model] }
      const done = await this.#finish(wished, step, active)
      return { revision: done, unloaded: others, preloaded: !isThere }
    })
  }

  /**
   * Takes out what the slot holds, and clears it. Where no model server is configured any more there is
   * nobody who could hold a model: it is only cleared.
   *
   * @throws {VectordError} `profile_not_active`; else as `load`.
   */
  clear(profile: string, by: string): Promise<Omit<Loading, 'preloaded'>> {
    return this.#working(async () => {
      const before = await this.#document.read()
      if (before === null || before.document.profile !== profile) {
        throw notActive(profile, before?.document.profile ?? null)
      }
      const { models } = this.#options
      const { resident } = before.document
      if (models === null) {
        return { revision: (await this.#write(before, EMPTY_SLOT, by)).revision, unloaded: [] }
      }
      const step = { models, by, held: new Set(resident) }
      const unloading: Slot = { ...before.document, state: 'unloading', fault: null }
      const wished = await this.#write(before, unloading, by)
      await this.#attempt(wished, step, async () => {
        for (const model of resident) await takeOut(step, model)
      })
      return { revision: await this.#finish(wished, step, EMPTY_SLOT), unloaded: resident }
    })
  }

  async #working<T>(work: () => Promise<T>): Promise<T> {
    this.#isWorking = true
    try {
      return await work()
    } finally {
      this.#isWorking = false
    }
  }

  #needModels(): ModelMemory {
    const { models } = this.#options
    if (models !== null) return models
    throw noModelServer()
  }

  async #loadedOrNull(): Promise<readonly string[] | null> {
    const { models } = this.#options
    if (models === null) return null
    const waited = new AbortController()
    const late = sleep(VIEW_WAIT_MS, null, { signal: waited.signal })
    try {
      return await Promise.race([loadedBy(models), late])
    } catch (error) {
      if (hasCode(error, 'model_server_unavailable')) return null
      throw error
    } finally {
      waited.abort()
    }
  }

  /** Stores `slot` where it is not what is stored. */
  async #settle(before: Revision<Slot> | null, slot: Slot, by: string): Promise<number> {
    if (before !== null && isDeepStrictEqual(before.document, slot)) return before.revision
    return (await this.#write(before, slot, by)).revision
  }

  #write(before: Revision<Slot> | null, document: Slot, author: string): Promise<Revision<Slot>> {
    const reason = `${document.state} ${document.profile ?? ''}`.trim()
    return this.#document.update(before?.revision ?? null, { document, author, reason })
  }

  /** Where the work fails the slot says so, and which models may be in memory now. */
  async #attempt(wished: Revision<Slot>, step: Step, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      const failed: Slot = {
        ...wished.document,
        ...{ state: 'failed', resident: [...step.held], fault: slotFault(error) },
      }
      await this.#finish(wished, step, failed).catch((unstored: unknown) => {
        // The slot goes on to say that a step began, which is true as well.
        this.#options.onTrouble(unstored, 'store that the GPU slot failed')
      })
      throw error
    }
  }

  async #finish(wished: Revision<Slot>, step: Step, slot: Slot): Promise<number> {
    try {
      return (await this.#write(wished, slot, step.by)).revision
    } catch (error) {
      if (hasCode(error, 'revision_mismatch')) {
        await this.#giveBack(step).catch((kept: unknown) => {
          this.#options.onTrouble(kept, 'unload a model that another server knows nothing of')
        })
      }
      throw error
    }
  }

  /** Another server has the slot now: what we hold and it does not know of goes. */
  async #giveBack({ models, held }: Step): Promise<void> {
    const { resident } = await this.stored()
    for (const model of held) {
      if (!isIn(resident, model)) await models.unload(model)
    }
  }
}

interface Step {
  readonly models: ModelMemory
  readonly by: string
  /** Models of the slot that may be in memory now. */
  readonly held: Set<string>
}

async function loadedBy(models: ModelMemory): Promise<readonly string[]> {
  return (await models.loaded()).map(({ model }) => model)
}

/** A model that the model server does not have is not in its memory either. */
async function takeOut({ models, held }: Step, model: string): Promise<void> {
  try {
    await models.unload(model)
  } catch (error) {
    if (!hasCode(error, 'model_not_found')) throw error
  }
  held.delete(model)
}

async function bringIn({ models, held }: Step, model: string): Promise<void> {
  held.add(model)
  try {
    await models.preload(model, KEEP_ALIVE)
  } catch (error) {
    if (hasCode(error, 'model_not_found')) held.delete(model)
    throw error
  }
}

export function noModelServer(): VectordError {
  const message = 'No model server is configured: set "url" of [embedders.ollama].'
  return new VectordError('not_configured', message, { details: { key: 'embedders.ollama.url' } })
}

function notActive(profile: string, active: string | null): VectordError {
  const message = `The profile "${profile}" is not the active one.`
  return new VectordError('profile_not_active', message, { details: { profile, active } })
}
