/**
 * What the agent may do with an index at all, before any number is looked at.
 *
 *     mode        trial   recommend   live ef, promote
 *     off         no      no          no
 *     observe     yes     no          no
 *     recommend   yes     yes         no
 *     auto        yes     yes         yes
 *
 * The switches (of the server, of the index, by a halt) stop everything; a pin stops what would
 * change the pinned configuration and leaves trials alone. Guards of a champion that bakes do not
 * ask here: what protects is never switched off.
 */

export const AGENT_MODES = ['off', 'observe', 'recommend', 'auto'] as const
export type AgentMode = (typeof AGENT_MODES)[number]

export type AgentDeed = 'trial' | 'recommend' | 'change_live_ef' | 'promote'

export interface AgentPosture {
  readonly mode: AgentMode
  /** The switch of the whole server. */
  readonly serverStopped: boolean
  /** A person paused this index. */
  readonly indexPaused: boolean
  /** Why the agent is held, see `config-quarantine.ts`; null: it is not. */
  readonly held: string | null
  /** Who pinned the configuration; null: nobody. */
  readonly pinnedBy: string | null
}

export type Permission =
  { readonly allowed: true } | { readonly allowed: false; readonly reason: string }

const MODES_OF: Readonly<Record<AgentDeed, readonly AgentMode[]>> = {
  trial: ['observe', 'recommend', 'auto'],
  recommend: ['recommend', 'auto'],
  change_live_ef: ['auto'],
  promote: ['auto'],
}

export function agentMay(deed: AgentDeed, posture: AgentPosture): Permission {
  const reason = whyNot(deed, posture)
  return reason === null ? { allowed: true } : { allowed: false, reason }
}

function whyNot(deed: AgentDeed, posture: AgentPosture): string | null {
  if (posture.serverStopped) return 'the agent is stopped'
  if (posture.indexPaused) return 'the agent is paused for this index'
  if (!MODES_OF[deed].includes(posture.mode)) return `the mode of this index is ${posture.mode}`
  if (posture.held !== null) return posture.held
  const changes = deed === 'change_live_ef' || deed === 'promote'
  if (changes && posture.pinnedBy !== null) {
    return `${posture.pinnedBy} pinned the configuration of this index`
  }
  return null
}
