/**
 * What profiles need of the model server: which models it holds in memory, and to take one in or let
 * one go. Names are those of the model server.
 */

export interface ModelMemory {
  /**
   * Resolves when the model is in memory; it stays for `keepAlive` after its last use.
   *
   * @throws {VectordError} `model_not_found`, `model_server_unavailable`.
   */
  preload(model: string, keepAlive: string): Promise<void>

  /** Resolves when the model is on its way out, also where it was not there. @throws as `preload`. */
  unload(model: string): Promise<void>

  /** @throws {VectordError} `model_server_unavailable`. */
  loaded(): Promise<readonly LoadedModel[]>
}

export interface LoadedModel {
  readonly model: string
  readonly bytes: number
  /** Of these, what lies in the memory of a GPU. */
  readonly vramBytes: number
  /** When it goes if nobody uses it: ISO 8601, or null where it stays. */
  readonly expiresAt: string | null
}

/** How long a model stays after its last use, unless a profile or an operator takes it out. */
export const KEEP_ALIVE = '5m'

/** Letters, digits and what separates host, owner, model and tag: `hf.co/owner/model:Q4_K_M`. */
export const MODEL_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,255}$'

/** True where both name one model: a name without a tag means `latest`. */
export function isSameModel(one: string, other: string): boolean {
  return tagged(one) === tagged(other)
}

export function isIn(models: readonly string[], model: string): boolean {
  return models.some((other) => isSameModel(other, model))
}

export function without(models: readonly string[], model: string): readonly string[] {
  return models.filter((other) => !isSameModel(other, model))
}

function tagged(model: string): string {
  const last = model.slice(model.lastIndexOf('/') + 1)
  return last.includes(':') ? model : `${model}:latest`
}
