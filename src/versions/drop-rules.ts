/**
 * Which versions of a thing go: pure arithmetic over their numbers.
 *
 *     up_to_version 10, keep_last_versions absent    1  5 │ 10  20  100        strictly older go
 *     keep_last_versions 2                           1  5  10 │ 20  100        all but the newest go
 *     both                                           only what both let go
 *     neither                                        all go
 *
 * A version that is newer than the request was not known to whoever sent it, and stays. The one that
 * is pending counts as kept, whether it is there yet or not, and never goes.
 */

export interface DropRule {
  /** Strictly older versions go. */
  readonly upToVersion?: number
  /** All but so many of the newest go. */
  readonly keepLastVersions?: number
  /** The newest version when the request was made. */
  readonly commitVersion: number
  /** One that is being written, or stood upon. */
  readonly pendingVersion?: number
}

/** The versions that the rule lets go, ascending. */
export function droppedVersions(versions: readonly number[], rule: DropRule): number[] {
  const { upToVersion = Infinity, keepLastVersions = 0, commitVersion, pendingVersion } = rule
  const pending = pendingVersion === undefined ? [] : [pendingVersion]
  const known = [...new Set([...versions, ...pending])]
    .filter((version) => version <= commitVersion || version === pendingVersion)
    .sort((a, b) => a - b)
  const old = known.slice(0, Math.max(0, known.length - keepLastVersions))
  return old.filter((version) => version < upToVersion && version !== pendingVersion)
}

/** Of things of which only the start can go: everything before the answer may. */
export function droppedBefore(rule: DropRule): number {
  const { keepLastVersions, pendingVersion = Infinity } = rule
  // How many records are the newest few is not known here: such a rule says nothing.
  if (keepLastVersions !== undefined) return 0
  return Math.min(boundOf(rule), pendingVersion)
}

/** Rules of different wishes that may wait for one thing. */
const RULES_MAX = 8

/**
 * Adds a rule to those that wait for the same thing, such that together they let go exactly what
 * each of them would.
 *
 * @returns null where too many different ones wait.
 */
export function mergedRules(rules: readonly DropRule[], next: DropRule): DropRule[] | null {
  const same = rules.find((rule) => formOf(rule) === formOf(next))
  if (same === undefined) return rules.length < RULES_MAX ? [...rules, next] : null
  return [...rules.filter((rule) => rule !== same), higher(same, next)]
}

/** Of two rules of one form: what either lets go. */
function higher(one: DropRule, other: DropRule): DropRule {
  const commitVersion = Math.max(one.commitVersion, other.commitVersion)
  if (one.keepLastVersions !== undefined) return { ...other, commitVersion }
  // Without a count to keep, both are bounds: the version itself, and what was known then.
  const upToVersion = Math.max(boundOf(one), boundOf(other))
  return { ...other, upToVersion, commitVersion }
}

function boundOf({ upToVersion = Infinity, commitVersion }: DropRule): number {
  return Math.min(upToVersion, commitVersion + 1)
}

/** Rules of one form are about the same, whenever they were sent. */
function formOf(rule: DropRule): string {
  const { upToVersion, keepLastVersions, pendingVersion } = rule
  const count = keepLastVersions === undefined ? 'bound' : `${upToVersion} ${keepLastVersions}`
  return `${count} ${pendingVersion}`
}
