/**
 * What is known of the files below a watched prefix, and which of them are to be ingested now.
 *
 *     new ──seen twice alike──▶ ready ──▶ done
 *                                 ╰──▶ failed ──`RETRY_MS` later──▶ ready … `ATTEMPTS_MAX` times, then by request
 *
 * A file is its key, its size and its time: one that was written anew is another one. Notes of files
 * that are not there any more are dropped, so that there are no more notes than files.
 *
 * Pure: the list and the time come in as arguments.
 */

import type { ObjectInfo } from '../buckets/object-store.ts'
import type { Json, JsonObject } from '../buckets/revision-codec.ts'
import {
  fieldsOf,
  isIntegerIn,
  isListOf,
  isNumberIn,
  isObject,
  isOneOf,
  isText,
  orNull,
} from '../journal/json-fields.ts'

export const ATTEMPTS_MAX = 5
/** After each failure but the last. */
const RETRY_MS = [30_000, 120_000, 600_000, 3_600_000] as const
const FILES_MAX = 1_000_000
/** Of the message of an error, which may repeat what a file holds. */
const MESSAGE_CHARS_MAX = 4096

export interface FileNote {
  readonly key: string
  readonly bytes: number
  readonly modifiedMs: number
  readonly state: 'done' | 'failed'
  /** Failures in a row; 0 where it is done. */
  readonly attempts: number
  /** Why it failed; null where it is done. */
  readonly error: { readonly code: string; readonly message: string } | null
  /** When it is tried again; null: when somebody asks for it. */
  readonly retryMs: number | null
  readonly rows: number | null
  readonly endedMs: number
}

export interface Plan {
  /** In the order of their keys. */
  readonly ready: readonly ObjectInfo[]
  /** Seen for the first time, or still being written. */
  readonly growing: readonly ObjectInfo[]
  /** Notes of files that are there. */
  readonly notes: ReadonlyMap<string, FileNote>
}

/** @param before what the scan before has seen, by key. */
export function planScan(
  listed: readonly ObjectInfo[],
  before: ReadonlyMap<string, ObjectInfo>,
  notes: ReadonlyMap<string, FileNote>,
  nowMs: number,
): Plan {
  const kept = new Map<string, FileNote>()
  const ready: ObjectInfo[] = []
  const growing: ObjectInfo[] = []
  for (const file of listed) {
    const note = notes.get(file.key)
    if (note !== undefined) kept.set(file.key, note)
    if (note !== undefined && isSame(note, file)) {
      if (isDue(note, nowMs)) ready.push(file)
      continue
    }
    const seen = before.get(file.key)
    if (seen !== undefined && isSame(seen, file)) ready.push(file)
    else growing.push(file)
  }
  return { ready, growing, notes: kept }
}

export function doneNote(file: ObjectInfo, rows: number, endedMs: number): FileNote {
  const { key, bytes, modifiedMs } = file
  return {
    ...{ key, bytes, modifiedMs, rows, endedMs },
    ...{ state: 'done', attempts: 0, error: null, retryMs: null },
  }
}

export function failedNote(
  file: ObjectInfo,
  { code, message }: NonNullable<FileNote['error']>,
  { last, nowMs }: { readonly last: FileNote | undefined; readonly nowMs: number },
): FileNote {
  const { key, bytes, modifiedMs } = file
  const isAgain = last !== undefined && isSame(last, file)
  const attempts = Math.min(ATTEMPTS_MAX, (isAgain ? last.attempts : 0) + 1)
  const waitMs = RETRY_MS[attempts - 1]
  const error = { code, message: message.slice(0, MESSAGE_CHARS_MAX).toWellFormed() }
  return {
    ...{ key, bytes, modifiedMs, state: 'failed', attempts, error, rows: null, endedMs: nowMs },
    retryMs: waitMs === undefined ? null : nowMs + waitMs,
  }
}

/** Every failed file as if it had failed never before. @returns also how many there are. */
export function retryAll(notes: ReadonlyMap<string, FileNote>): {
  readonly notes: ReadonlyMap<string, FileNote>
  readonly files: number
} {
  const changed = new Map(notes)
  let files = 0
  for (const [key, note] of notes) {
    if (note.state !== 'failed') continue
    changed.set(key, { ...note, attempts: 0, retryMs: 0 })
    files += 1
  }
  return { notes: changed, files }
}

/** Tells one file of a bucket from any other, also from what lay at its key before. */
export function identityOf({ key, bytes, modifiedMs }: ObjectInfo): string {
  return `${key}?bytes=${bytes}&modified_ms=${modifiedMs}`
}

export function notesToJson(notes: ReadonlyMap<string, FileNote>): JsonObject {
  return {
    files: [...notes.values()].map((note): Json => ({
      ...note,
      error: note.error && { ...note.error },
    })),
  }
}

/** @throws {VectordError} `object_corrupt` naming the field. */
export function notesFromJson(json: JsonObject): ReadonlyMap<string, FileNote> {
  const files = fieldsOf('state of a watch', json)('files', isListOf(isObject, FILES_MAX))
  return new Map(files.map(noteFrom).map((note) => [note.key, note]))
}

function noteFrom(json: JsonObject): FileNote {
  const field = fieldsOf('file of a watch', json)
  const told = field('error', orNull(isObject))
  const errorField = fieldsOf('file of a watch', told)
  return {
    key: field('key', isText(512, 1)),
    bytes: field('bytes', isIntegerIn(0)),
    // Buckets in folders tell parts of a millisecond, and files have times before 1970.
    modifiedMs: field('modifiedMs', isNumberIn(-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)),
    state: field('state', isOneOf(['done', 'failed'])),
    attempts: field('attempts', isIntegerIn(0, ATTEMPTS_MAX)),
    error:
      told === null
        ? null
        : {
            code: errorField('code', isText(64)),
            message: errorField('message', isText(MESSAGE_CHARS_MAX)),
          },
    retryMs: field('retryMs', orNull(isIntegerIn(0))),
    rows: field('rows', orNull(isIntegerIn(0))),
    endedMs: field('endedMs', isIntegerIn(0)),
  }
}

type Identity = Pick<ObjectInfo, 'bytes' | 'modifiedMs'>

function isSame(a: Identity, b: Identity): boolean {
  return a.bytes === b.bytes && a.modifiedMs === b.modifiedMs
}

function isDue({ state, retryMs }: FileNote, nowMs: number): boolean {
  return state === 'failed' && retryMs !== null && retryMs <= nowMs
}
