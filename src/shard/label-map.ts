/**
 * Which slot each label of a graph stands for, and which label each slot has.
 *
 *     slot    0 1 2 3 4 5 6             slots that were offered to the graph, in order
 *     label   0 – 1 2 – 3 4             labels ascend with their slots; NONE where there is none
 *
 * Both columns only grow, and what is in them stays. When a compaction gives the rows new slots, a
 * second map is filled in steps from the first (`LabelMove`) and then takes its place.
 */

import { Int32Column } from './growing.ts'

export const NONE = -1

/** The new slot of each old one, ascending; NONE where the row is gone. */
export type SlotMap = Pick<Int32Column, 'length' | 'get'>

export class LabelMap {
  readonly #slotOfLabel = new Int32Column()
  readonly #labelOfSlot = new Int32Column()

  /** Slots before this one have their label, or none for ever. */
  get slots(): number {
    return this.#labelOfSlot.length
  }

  get labels(): number {
    return this.#slotOfLabel.length
  }

  get memoryBytes(): number {
    return (this.labels + this.slots) * 4
  }

  /** `label` lies below `labels`. NONE where its row died before this map was made. */
  slotOf(label: number): number {
    return this.#slotOfLabel.get(label)
  }

  labelOf(slot: number): number {
    return slot < this.slots ? this.#labelOfSlot.get(slot) : NONE
  }

  /** Says which label the next slot has. */
  addSlot(label: number): void {
    this.#labelOfSlot.push(label)
  }

  /** Says for which slot the next label stands. */
  addLabel(slot: number): void {
    this.#slotOfLabel.push(slot)
  }

  slotsOfLabels(): Int32Array {
    const slots = new Int32Array(this.labels)
    for (let label = 0; label < slots.length; label += 1) slots[label] = this.slotOf(label)
    return slots
  }

  /** @param slots the slot of each label; NONE where its row is dead. */
  static of(slots: Int32Array, indexedSlot: number): LabelMap {
    const map = new LabelMap()
    for (let slot = 0; slot < indexedSlot; slot += 1) map.addSlot(NONE)
    for (let label = 0; label < slots.length; label += 1) {
      const slot = slots[label] ?? NONE
      map.addLabel(slot)
      if (slot !== NONE) map.#labelOfSlot.set(slot, label)
    }
    return map
  }
}

/** The labels of a map that may go on growing, under new slots. */
export class LabelMove {
  readonly to = new LabelMap()
  readonly #from: LabelMap
  readonly #slots: SlotMap
  #slot = 0
  #label = 0

  constructor(from: LabelMap, slots: SlotMap) {
    this.#from = from
    this.#slots = slots
  }

  /** Slots and labels that are still to be moved. */
  get left(): number {
    return this.#from.slots - this.#slot + this.#from.labels - this.#label
  }

  /** Moves up to `count` of them; the slot map has every slot of the old map. */
  step(count: number): void {
    let left = count
    for (; left > 0 && this.#slot < this.#from.slots; left -= 1) {
      if (this.#slots.get(this.#slot) !== NONE) this.to.addSlot(this.#from.labelOf(this.#slot))
      this.#slot += 1
    }
    for (; left > 0 && this.#label < this.#from.labels; left -= 1) {
      const slot = this.#from.slotOf(this.#label)
      this.to.addLabel(slot === NONE ? NONE : this.#slots.get(slot))
      this.#label += 1
    }
  }
}
