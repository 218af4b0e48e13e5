/**
 * Random changes of a `RevisionedDocument` by two writers under faults.
 *
 * The document lists the changes applied to it. After a change without a clear answer the truth is
 * read past the faults: it is the state before or after that change, nothing else.
 */

import assert from 'node:assert/strict'
import { RevisionedDocument, type Revision } from '../../src/buckets/revisioned-document.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { collect } from './collect.ts'
import { type Actor, assertHonest, type Outcome, outcomeOf, pick } from './s3-chaos.ts'

type Names = readonly string[]
type NamesDocument = RevisionedDocument<Names>

const BY = { author: 'test', reason: 'test' }

export class DocumentActor {
  readonly #actor: Actor
  #writers: readonly [NamesDocument, NamesDocument]
  #names: Names | null = null
  /** At least this. */
  #revision = 0
  #count = 0

  constructor(actor: Actor) {
    this.#actor = actor
    this.#writers = [this.#open(actor.faulty), this.#open(actor.faulty)]
  }

  async operate(): Promise<void> {
    this.#actor.begin()
    const writer = pick(this.#writers, this.#actor.random)
    const operations = [
      () => this.#append(writer),
      () => this.#append(writer),
      () => this.#race(),
      () => this.#read(writer),
      () => this.#updateOld(writer),
      () => this.#remove(writer),
      () => this.#history(writer),
      () => this.#restart(),
    ]
    await pick(operations, this.#actor.random)()
  }

  async check(): Promise<void> {
    await this.#settle([this.#names])
  }

  async #append(writer: NamesDocument): Promise<void> {
    const name = this.#name()
    const outcome = await outcomeOf(append(writer, name))
    assertHonest(this.#actor, outcome, ['revision_mismatch'])
    const after = [...(this.#names ?? []), name]
    if (outcome.done) this.#take(outcome.value, [after])
    // A mismatch promises that nothing was written.
    else await this.#settle(mayHaveHappened(outcome) ? [this.#names, after] : [this.#names])
  }

  async #race(): Promise<void> {
    const names = [this.#name(), this.#name()] as const
    const [first, second] = await Promise.all([
      outcomeOf(append(this.#writers[0], names[0])),
      outcomeOf(append(this.#writers[1], names[1])),
    ])
    assertHonest(this.#actor, first, ['revision_mismatch'])
    assertHonest(this.#actor, second, ['revision_mismatch'])
    const before = this.#names ?? []
    const isFitting = (after: Names): boolean =>
      (!first.done || after.includes(names[0])) && (!second.done || after.includes(names[1]))
    const [one, two] = names
    const states = [[one, two], [two, one], [one], [two], []].filter(isFitting)
    const isOpen = !first.done && !second.done
    await this.#settle([
      ...states.map((added) => [...before, ...added]),
      ...(isOpen ? [this.#names] : []),
    ])
  }

  async #read(writer: NamesDocument): Promise<void> {
    const isNewer = this.#actor.random() < 0.5
    const read = isNewer ? writer.readIfNewer(this.#revision) : writer.read()
    const outcome = await outcomeOf(read)
    assertHonest(this.#actor, outcome)
    if (!outcome.done || (isNewer && outcome.value === null)) return
    this.#take(outcome.value, [this.#names])
  }

  async #updateOld(writer: NamesDocument): Promise<void> {
    const expected = this.#names === null ? this.#revision + 1 : null
    const change = { document: ['lost'], ...BY }
    const outcome = await outcomeOf(writer.update(expected, change))
    assert.ok(!outcome.done, 'a change on top of what is not there went through')
    assertHonest(this.#actor, outcome, ['revision_mismatch'])
    await this.#settle([this.#names])
  }

  async #remove(writer: NamesDocument): Promise<void> {
    if (this.#names === null || this.#actor.random() < 0.7) return
    const outcome = await outcomeOf(writer.remove(this.#revision, BY))
    assertHonest(this.#actor, outcome, ['revision_mismatch'])
    if (outcome.done) this.#names = null
    await this.#settle(mayHaveHappened(outcome) ? [this.#names, null] : [this.#names])
  }

  async #history(writer: NamesDocument): Promise<void> {
    const outcome = await outcomeOf(collect(writer.history()))
    assertHonest(this.#actor, outcome)
    if (!outcome.done) return
    let last = Infinity
    for (const past of outcome.value) {
      assert.ok(past.revision < last, 'revisions descend')
      last = past.revision
      if (past.kind === 'unreadable') assert.ok(this.#actor.struck.size > 0, String(past.fault))
    }
  }

  #restart(): Promise<void> {
    const { faulty } = this.#actor
    this.#writers = [this.#open(faulty), this.#open(faulty)]
    return Promise.resolve()
  }

  /** Reads the truth, which must be one of `allowed`. */
  async #settle(allowed: readonly (Names | null)[]): Promise<void> {
    this.#take(await this.#open(this.#actor.direct).read(), allowed)
  }

  #take(found: Revision<Names> | null, allowed: readonly (Names | null)[]): void {
    const names = found?.document ?? null
    const text = JSON.stringify(names)
    const isAllowed = allowed.some((one) => JSON.stringify(one) === text)
    const message = `${this.#actor.prefix} is ${text}, not ${JSON.stringify(allowed)}`
    assert.ok(isAllowed, message)
    this.#names = names
    if (found === null) return
    assert.ok(found.revision >= this.#revision, 'revisions grow')
    this.#revision = found.revision
  }

  #name(): string {
    this.#count += 1
    return String(this.#count)
  }

  #open(store: ObjectStore): NamesDocument {
    return new RevisionedDocument({
      store,
      prefix: this.#actor.prefix,
      name: 'test',
      codec: {
        toJson: (names) => ({ names }),
        fromJson: (json) => json['names'] as Names,
      },
    })
  }
}

function append(writer: NamesDocument, name: string): Promise<Revision<Names>> {
  return writer.modify((current) => ({ document: [...(current?.document ?? []), name], ...BY }))
}

function mayHaveHappened(outcome: Outcome<unknown>): boolean {
  return outcome.done || outcome.code !== 'revision_mismatch'
}
