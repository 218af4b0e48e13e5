/**
 * Versions of points that are over and still kept: until when they held, and whose they are.
 *
 *     slot      0    1    2    3    4       a was written three times and lives,
 *     id        a    b    a    b    a       b was written, deleted at 3, written and deleted at 7
 *     lsn       1    2    4    5    6
 *     end       4    3    6    7    ∞       of the write that ended it: it held at [lsn, end)
 *     newer     2    3    4    1    0       the newest leads round to the oldest
 *     number    1    1    2    3    3       within its id; deletes count too
 *
 * Only tables that keep more than one version have it: 16 bytes and two bits for each slot. The ring
 * of an id holds its live slot and its kept ones; one without either is a ring of its own.
 */

import { Bitmap } from '../engines/bitmap.ts'
import { Float64Column, Int32Column } from './growing.ts'

/** Of each slot: end, newer, number, and the bits kept and ended by a delete. */
const SLOT_BYTES = 8 + 4 + 4 + 0.25
const ID_MAP_BYTES = 56

/** How a version ended. */
export interface VersionEnd {
  readonly lsn: number
  /** `upsert`: a newer version of the same id follows at once. */
  readonly by: 'upsert' | 'delete'
}

export class VersionChains {
  readonly kept = new Bitmap()
  readonly #byDelete = new Bitmap()
  readonly #ends = new Float64Column()
  readonly #newer = new Int32Column()
  readonly #numbers = new Int32Column()
  /** The newest slot of ids that have kept ones and no live one. */
  readonly #ended = new Map<string, number>()
  #count = 0

  /** @param slots that are there already: each live one is the first version of its id. */
  constructor(slots: number) {
    for (let slot = 0; slot < slots; slot += 1) this.#push(slot)
  }

  /** Kept versions. */
  get count(): number {
    return this.#count
  }

  get memoryBytes(): number {
    return this.#ends.length * SLOT_BYTES + this.#ended.size * ID_MAP_BYTES
  }

  /** Takes the next slot as the newest version of `id`, which has no live one. */
  start(slot: number, id: string): void {
    this.#push(slot)
    const before = this.#ended.get(id)
    if (before === undefined) return
    this.#ended.delete(id)
    this.#newer.set(slot, this.#newer.get(before))
    this.#newer.set(before, slot)
    this.#numbers.set(slot, this.#lastNumber(before) + 1)
  }

  /** The next slot takes the place of `older`, the newest of its id, as the same version. */
  replace(older: number, slot: number): void {
    this.#push(slot)
    this.#numbers.set(slot, this.#numbers.get(older))
    const oldest = this.#newer.get(older)
    if (oldest === older) return
    let before = oldest
    while (this.#newer.get(before) !== older) before = this.#newer.get(before)
    this.#newer.set(before, slot)
    this.#newer.set(slot, oldest)
    this.#newer.set(older, older)
  }

  /** Keeps a version of `id` that was live until now. */
  finish(slot: number, id: string, { lsn, by }: VersionEnd): void {
    this.#ends.set(slot, lsn)
    this.#ended.set(id, slot)
    this.kept.add(slot)
    this.#count += 1
    if (by === 'delete') this.#byDelete.add(slot)
  }

  /**
   * Gives up the oldest version of `id` where `keep` newer ones are there.
   *
   * @param newest the slot of its newest version.
   * @returns the slot given up, or -1.
   */
  giveUp(id: string, newest: number, keep: number): number {
    const oldest = this.#newer.get(newest)
    if (this.#rank(newest, oldest) <= keep) return -1
    if (oldest === newest) this.#ended.delete(id)
    else this.#newer.set(newest, this.#newer.get(oldest))
    this.#newer.set(oldest, oldest)
    this.kept.delete(oldest)
    this.#count -= 1
    return oldest
  }

  /** The newest kept slot of an id that has no live one. */
  endedSlot(id: string): number | undefined {
    return this.#ended.get(id)
  }

  /** The lsn of the write that ended it; Infinity while it is live. */
  endOf(slot: number): number {
    return this.#ends.get(slot)
  }

  endedByDelete(slot: number): boolean {
    return this.#byDelete.has(slot)
  }

  /** The slots of an id, newest first. */
  history(newest: number): number[] {
    const slots: number[] = []
    let slot = newest
    do {
      slot = this.#newer.get(slot)
      slots.push(slot)
    } while (slot !== newest)
    return slots.reverse()
  }

  /**
   * The broken rules of a slot that is kept.
   *
   * @param newest the newest slot of its id, undefined where the maps know none.
   */
  faultsOf(
    slot: number,
    newest: number | undefined,
    { keep, lsnOf }: { readonly keep: number; readonly lsnOf: (slot: number) => number },
  ): string[] {
    const end = this.#ends.get(slot)
    const faults: string[] = []
    if (!(end > lsnOf(slot)) || end === Infinity) faults.push('it is kept and has no end')
    if (newest === undefined) return [...faults, 'no id leads to it']
    if (this.#rank(newest, slot) > keep) faults.push('it is kept beyond the last versions')
    const newer = this.#newer.get(slot)
    if (slot === newest) {
      if (!this.#byDelete.has(slot)) faults.push('an upsert ended it that is not there')
    } else if (this.#byDelete.has(slot) ? lsnOf(newer) <= end : lsnOf(newer) !== end) {
      faults.push('it did not end where the next version began')
    }
    return faults
  }

  /** 1 for the newest version; a delete that came after it has that place. */
  #rank(newest: number, slot: number): number {
    // Numbers go round at 2^31; what lies between two of them does not.
    return ((this.#lastNumber(newest) - this.#numbers.get(slot)) | 0) + 1
  }

  #lastNumber(newest: number): number {
    return this.#numbers.get(newest) + (this.#byDelete.has(newest) ? 1 : 0)
  }

  #push(slot: number): void {
    this.kept.reserve(slot + 1)
    this.#byDelete.reserve(slot + 1)
    this.#ends.push(Infinity)
    this.#newer.push(slot)
    this.#numbers.push(1)
  }
}
