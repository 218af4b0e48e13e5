/**
 * The best k groups of points that share a value of a field, each with its best hits.
 *
 *     find:  nearest points of groups that are not known yet ─▶ new groups … until k, or none is left
 *     fill:  nearest points of the groups that want hits ─▶ hits … until all are full, or none is left
 *
 * Every search leaves out, by a filter, what is known already, so each brings something new or is the
 * last: one large group cannot hide the others. Hits come nearest first, so the first k groups are
 * the best k. A point whose field holds no string, number or boolean forms no group.
 */

import type { Scalar } from '../domain/filter.ts'

/** What of a hit is needed to group it: its metadata must have been included. */
export interface GroupableHit {
  readonly id: string
  /** JSON text of an object, or null. */
  readonly metadata: string | null
}

export interface RankedAnswer<H> {
  /** Best first, at most the k that was asked for. */
  readonly hits: readonly H[]
  /** Fewer than k points match at all. */
  readonly exhausted: boolean
  readonly lsn: number
}

export interface GroupedSearchOptions<H extends GroupableHit> {
  /** A dotted path, as filters have it. */
  readonly field: string
  /** Groups that are wanted, and hits of each; their product is at most `kMax`. */
  readonly groups: number
  readonly groupSize: number
  /** JSON text of a validated filter, or null. */
  readonly filter: string | null
  /** Hits of one search at the most. */
  readonly kMax: number
  readonly search: (k: number, filter: string) => Promise<RankedAnswer<H>>
  /** Negative where the first is the better hit; 0 leaves them as they were found. */
  readonly compare: (one: H, other: H) => number
}

export interface Group<H> {
  readonly key: Scalar
  /** Best first, at least one. */
  readonly hits: readonly H[]
}

export interface GroupedAnswer<H> {
  /** In the order of their best hits. */
  readonly groups: readonly Group<H>[]
  /** Fewer groups than wanted match at all. */
  readonly exhausted: boolean
  /** False where the searches were used up before every group and every hit was found. */
  readonly complete: boolean
  readonly searches: number
  /** Every search has seen the writes up to this one. */
  readonly lsn: number
}

/** Of one grouped search: each is as dear as a filtered search for `kMax` hits at the most. */
export const SEARCHES_MAX = 10
/** Of those, what finding groups may use: the others fill them. */
const FINDING_MAX = 6

export async function searchGroups<H extends GroupableHit>(
  options: GroupedSearchOptions<H>,
): Promise<GroupedAnswer<H>> {
  const run = new GroupedSearch(options)
  const exhausted = await run.find()
  const complete = (await run.fill()) && (exhausted || run.isFound)
  return { groups: run.groups(), exhausted, complete, searches: run.searches, lsn: run.lsn }
}

class GroupedSearch<H extends GroupableHit> {
  readonly #options: GroupedSearchOptions<H>
  readonly #groups = new Map<Scalar, H[]>()
  /** A point that changed between two searches must not be in two groups. */
  readonly #ids = new Set<string>()
  /** True where the first search has brought every point that matches. */
  #sawAll = false
  searches = 0
  lsn = Infinity

  constructor(options: GroupedSearchOptions<H>) {
    this.#options = options
  }

  get isFound(): boolean {
    return this.#groups.size >= this.#options.groups
  }

  /** True where there are fewer groups than wanted. */
  async find(): Promise<boolean> {
    const { groups, groupSize, kMax, field } = this.#options
    for (let k = Math.min(kMax, groups * groupSize); this.searches < FINDING_MAX;) {
      const known = [...this.#groups.keys()]
      const others = known.length === 0 ? {} : { $nin: known }
      const before = this.#groups.size
      const { exhausted } = await this.#search(k, { [field]: { $exists: true, ...others } })
      if (this.searches === 1) this.#sawAll = exhausted
      if (this.isFound) return false
      if (exhausted) return true
      // All that a search may bring is in no group: the next one would bring the same.
      if (this.#groups.size === before && k === kMax) return false
      k = Math.min(kMax, 2 * k)
    }
    return false
  }

  /** False where a group may have more hits than were found. */
  async fill(): Promise<boolean> {
    const { groupSize, kMax, field } = this.#options
    let wanting = this.#sawAll ? [] : this.#wanting()
    let k = Math.min(kMax, wanting.length * groupSize)
    while (wanting.length > 0) {
      if (this.searches === SEARCHES_MAX) return false
      const { exhausted } = await this.#search(k, { [field]: { $in: wanting } })
      if (exhausted) return true
      const left = this.#wanting()
      // Full groups are left out of the next search; where none is, only more hits can help.
      if (left.length === wanting.length && k === kMax) return false
      wanting = left
      k = Math.min(kMax, 2 * k)
    }
    return true
  }

  groups(): Group<H>[] {
    const { compare } = this.#options
    const groups = this.#best().map(([key, hits]) => ({ key, hits: this.#sorted(hits) }))
    return groups.sort(({ hits: [one] }, { hits: [other] }) =>
      one === undefined || other === undefined ? 0 : compare(one, other),
    )
  }

  #best(): [Scalar, H[]][] {
    return [...this.#groups].slice(0, this.#options.groups)
  }

  #wanting(): Scalar[] {
    const { groupSize } = this.#options
    return this.#best().flatMap(([key, hits]) => (hits.length < groupSize ? [key] : []))
  }

  #sorted(hits: readonly H[]): H[] {
    const { compare, groupSize } = this.#options
    return [...hits].sort(compare).slice(0, groupSize)
  }

  async #search(k: number, condition: object): Promise<RankedAnswer<H>> {
    const { filter, search } = this.#options
    const own = JSON.stringify(condition)
    const answer = await search(k, filter === null ? own : `{"$and":[${filter},${own}]}`)
    this.searches += 1
    this.lsn = Math.min(this.lsn, answer.lsn)
    for (const hit of answer.hits) this.#take(hit)
    return answer
  }

  #take(hit: H): void {
    if (this.#ids.has(hit.id)) return
    const key = valueAt(hit.metadata, this.#options.field)
    if (key === null) return
    this.#ids.add(hit.id)
    const hits = this.#groups.get(key)
    if (hits === undefined) this.#groups.set(key, [hit])
    else hits.push(hit)
  }
}

/** As filters find it: a field of the literal name wins over the path. */
function valueAt(metadata: string | null, field: string): Scalar | null {
  if (metadata === null) return null
  const whole: unknown = JSON.parse(metadata)
  const literal = own(whole, field)
  const value = literal === undefined ? field.split('.').reduce(own, whole) : literal
  return isScalar(value) ? value : null
}

function own(json: unknown, name: string): unknown {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return undefined
  return Object.getOwnPropertyDescriptor(json, name)?.value
}

function isScalar(value: unknown): value is Scalar {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}
