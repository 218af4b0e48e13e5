/**
 * The GPU slot as it is stored, and what may be said of it: pure.
 *
 *     empty ──activate──▶ loading ──model in memory──▶ active ──deactivate──▶ unloading ──▶ empty
 *                            ╰────────────── failed ◀──────────────────────────╯
 *
 * What is stored is a wish and how far it came; what is in memory only the model server knows. A crash,
 * another server or the passing of `keep_alive` may come between, so `active` is never said without it.
 */

import type { JsonObject } from '../buckets/revision-codec.ts'
import {
  fieldsOf,
  isIntegerIn,
  isListOf,
  isObject,
  isOneOf,
  isText,
  orNull,
} from '../journal/json-fields.ts'
import { VectordError } from '../lib/errors.ts'
import { isIn, without } from './model-memory.ts'
import { isModel, isName } from './profile.ts'

/** Models that a slot may have to take out; none comes before the others went, so there are few. */
const RESIDENT_MAX = 16
const FAULT_CHARS_MAX = 4096

const STORED_STATES = ['empty', 'loading', 'active', 'unloading', 'failed'] as const

export const SLOT_STATES = [...STORED_STATES, 'unloaded', 'unsettled', 'unknown'] as const

/**
 * `unloaded`: the profile holds the slot, but the model server has let its model go. `unsettled`: a step
 * did not come to its end here; another server may be at it. `unknown`: the model server does not answer.
 */
export type SlotState = (typeof SLOT_STATES)[number]

export interface Slot {
  readonly state: (typeof STORED_STATES)[number]
  /** Null where it is empty, as are the next two. */
  readonly profile: string | null
  readonly profileRevision: number | null
  readonly model: string | null
  /** Models that the slot may have in memory: they go before another one comes. */
  readonly resident: readonly string[]
  /** Why the last step failed. */
  readonly fault: { readonly code: string; readonly message: string } | null
}

export const EMPTY_SLOT: Slot = {
  ...{ state: 'empty', profile: null, profileRevision: null, model: null },
  ...{ resident: [], fault: null },
}

/**
 * What the slot is, by what is stored and what is loaded.
 *
 * @param loaded models that the model server holds; null where it did not say.
 * @param isWorking true while this server changes the slot.
 */
export function slotState(
  slot: Slot,
  loaded: readonly string[] | null,
  isWorking: boolean,
): SlotState {
  const { state, model } = slot
  if (state === 'empty' || model === null) return 'empty'
  if (isWorking && (state === 'loading' || state === 'unloading')) return state
  return loaded === null ? 'unknown' : stateByMemory(slot, model, loaded)
}

function stateByMemory(
  { state, resident }: Slot,
  model: string,
  loaded: readonly string[],
): SlotState {
  const isThere = isIn(loaded, model)
  if (state === 'active') return isThere ? 'active' : 'unloaded'
  if (state !== 'loading') return state === 'failed' ? 'failed' : 'unsettled'
  const isAlone = !without(resident, model).some((other) => isIn(loaded, other))
  return isThere && isAlone ? 'active' : 'unsettled'
}

export function slotToJson({
  state,
  profile,
  profileRevision,
  model,
  resident,
  fault,
}: Slot): JsonObject {
  return {
    ...{ state, profile, profile_revision: profileRevision, model, resident: [...resident] },
    fault: fault === null ? null : { code: fault.code, message: fault.message },
  }
}

/** @throws {VectordError} `object_corrupt` naming the field. */
export function slotFromJson(json: JsonObject): Slot {
  const field = fieldsOf('GPU slot', json)
  return {
    state: field('state', isOneOf(STORED_STATES)),
    profile: field('profile', orNull(isName)),
    profileRevision: field('profile_revision', orNull(isIntegerIn(1))),
    model: field('model', orNull(isModel)),
    resident: field('resident', isListOf(isModel, RESIDENT_MAX)),
    fault: json['fault'] === null ? null : faultFrom(json['fault']),
  }
}

function faultFrom(json: unknown): Slot['fault'] {
  const field = fieldsOf('GPU slot', isObject(json) ? json : {})
  return { code: field('code', isText(128, 1)), message: field('message', isText(FAULT_CHARS_MAX)) }
}

/** Why a step failed, as the slot keeps it. */
export function slotFault(error: unknown): Slot['fault'] {
  const { code, message } = error instanceof VectordError ? error : INTERNAL
  return { code, message: message.slice(0, FAULT_CHARS_MAX) }
}

const INTERNAL = { code: 'internal', message: 'Something failed that is not the model server.' }
