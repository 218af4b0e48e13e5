/**
 * The strings of the slots of a table, and what they take.
 */

const STRING_BYTES = 24

export class RowStrings {
  readonly #ids: (string | null)[] = []
  readonly #texts: (string | null)[] = []
  readonly #metadata: (string | null)[] = []
  #strings = 0
  #units = 0

  /** UTF-16 units: their bytes, where they are plain ASCII. */
  get units(): number {
    return this.#units
  }

  get memoryBytes(): number {
    return this.#units + this.#strings * STRING_BYTES
  }

  push(id: string, text: string | null, metadata: string | null): void {
    this.#ids.push(id)
    this.#texts.push(text)
    this.#metadata.push(metadata)
    this.#count(this.#ids.length - 1, 1)
  }

  free(slot: number): void {
    this.#count(slot, -1)
    this.#ids[slot] = null
    this.#texts[slot] = null
    this.#metadata[slot] = null
  }

  /** Null where the slot was freed. */
  id(slot: number): string | null {
    return this.#ids[slot] ?? null
  }

  text(slot: number): string | null {
    return this.#texts[slot] ?? null
  }

  metadata(slot: number): string | null {
    return this.#metadata[slot] ?? null
  }

  unitsOf(slot: number): number {
    return this.#of(slot).reduce((sum, value) => sum + (value?.length ?? 0), 0)
  }

  #count(slot: number, sign: 1 | -1): void {
    for (const value of this.#of(slot)) {
      if (value === null) continue
      this.#strings += sign
      this.#units += sign * value.length
    }
  }

  #of(slot: number): readonly (string | null)[] {
    return [this.id(slot), this.text(slot), this.metadata(slot)]
  }
}
