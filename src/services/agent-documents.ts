/**
 * The documents of the agent, in the home bucket of each index:
 *
 *     _hnsw_agent/{index}/{revision}.json          settings: people, compare and swap
 *     _hnsw_agent_state/{index}/{revision}.json    what it remembers: the agent of the owner
 *
 * Read once and kept; another server's change of the settings is seen with the next wake. What
 * cannot be read is an error, never the default: a mode or a quarantine is not forgotten.
 */

import {
  changedSettings,
  settingsFromJson,
  settingsToJson,
  type AgentSettings,
  type AgentSettingsChange,
} from '../autotune/agent-settings.ts'
import { stateFromJson, stateToJson, type AgentState } from '../autotune/agent-state.ts'
import type { ObjectStore } from '../buckets/object-store.ts'
import { RevisionedDocument } from '../buckets/revisioned-document.ts'
import { VectordError } from '../lib/errors.ts'

const SETTINGS_FOLDER = '_hnsw_agent'
const STATE_FOLDER = '_hnsw_agent_state'
/** Revisions of the state that stay: it changes with each trial, and the decision log has the story. */
const STATES_KEPT = 10
const AUTHOR = 'agent'

export interface AgentDocumentsOptions {
  /** The home bucket of an index. @throws {VectordError} `index_not_found`. */
  readonly storeOf: (index: string) => ObjectStore
  /** Settings of an index that has none. */
  readonly defaults: AgentSettings
  readonly newState: () => AgentState
  readonly nowMs: () => number
}

export interface StoredSettings {
  /** 0 where the index has none of its own. */
  readonly revision: number
  readonly settings: AgentSettings
}

export interface SettingsAuthor {
  readonly by: string
  readonly reason: string
  /** The revision that was seen; null takes any. */
  readonly ifRevision: number | null
}

interface Documents {
  readonly store: ObjectStore
  readonly settings: RevisionedDocument<AgentSettings>
  readonly state: RevisionedDocument<AgentState>
}

export class AgentDocuments {
  readonly #options: AgentDocumentsOptions
  readonly #open = new Map<string, Documents>()

  constructor(options: AgentDocumentsOptions) {
    this.#options = options
  }

  /** @throws {VectordError} `index_not_found`, `object_corrupt`, and every error of the bucket. */
  async settings(index: string): Promise<StoredSettings> {
    const found = await this.#of(index).settings.read()
    if (found === null) return { revision: 0, settings: this.#options.defaults }
    return { revision: found.revision, settings: found.document }
  }

  /** Durable once resolved. @throws {VectordError} `revision_mismatch`, and as `settings`. */
  async change(
    index: string,
    change: AgentSettingsChange,
    { by: author, reason, ifRevision }: SettingsAuthor,
  ): Promise<StoredSettings> {
    const { settings } = this.#of(index)
    const written = await settings.modify((current) => {
      const revision = current?.revision ?? 0
      if (ifRevision !== null && ifRevision !== revision) throw mismatch(index, revision)
      const document = changedSettings(current?.document ?? this.#options.defaults, change)
      return { document, author, reason }
    })
    return { revision: written.revision, settings: written.document }
  }

  async state(index: string): Promise<AgentState> {
    const found = await this.#of(index).state.read()
    return found?.document ?? this.#options.newState()
  }

  /** Durable once resolved; the agent of the owner is its one writer. */
  async save(index: string, document: AgentState, reason: string): Promise<void> {
    await this.#of(index).state.modify(() => ({ document, author: AUTHOR, reason }))
  }

  /** Removes both documents of an index that is being deleted. */
  async drop(index: string): Promise<void> {
    const { settings, state } = this.#of(index)
    const by = { author: AUTHOR, reason: 'the index was deleted' }
    for (const document of [settings, state]) {
      const found = await document.read()
      if (found !== null) await document.remove(found.revision, by)
    }
    this.#open.delete(index)
  }

  #of(index: string): Documents {
    const store = this.#options.storeOf(index)
    const known = this.#open.get(index)
    if (known?.store === store) return known
    const { nowMs } = this.#options
    const opened = {
      store,
      settings: new RevisionedDocument<AgentSettings>({
        ...{ store, nowMs, prefix: `${SETTINGS_FOLDER}/${index}/` },
        name: `the agent settings of index "${index}"`,
        codec: { toJson: settingsToJson, fromJson: settingsFromJson },
      }),
      state: new RevisionedDocument<AgentState>({
        ...{ store, nowMs, prefix: `${STATE_FOLDER}/${index}/`, keep: STATES_KEPT },
        name: `the agent state of index "${index}"`,
        codec: { toJson: stateToJson, fromJson: stateFromJson },
      }),
    }
    this.#open.set(index, opened)
    return opened
  }
}

function mismatch(index: string, revision: number): VectordError {
  const message = `The agent settings of "${index}" are at revision ${revision}.`
  return new VectordError('revision_mismatch', message, { details: { index, revision } })
}
