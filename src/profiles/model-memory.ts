/**
 * What profiles need of the model server: which models it holds in memory, and to take one in or let
 * one go; and how names of models compare.
 */

import { type LoadedModel, type ModelServer, taggedModel } from '../embedders/model-server.ts'

export type ModelMemory = ModelServer
export type { LoadedModel }

/** How long a model stays after its last use, unless a profile or an operator takes it out. */
export const KEEP_ALIVE = '5m'

/** Letters, digits and what separates host, owner, model and tag: `hf.co/owner/model:Q4_K_M`. */
export const MODEL_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,255}$'

/** Names without a tag mean `latest`. */
export function isIn(models: readonly string[], model: string): boolean {
  return models.some((other) => isSameModel(other, model))
}

export function without(models: readonly string[], model: string): readonly string[] {
  return models.filter((other) => !isSameModel(other, model))
}

function isSameModel(one: string, other: string): boolean {
  return taggedModel(one) === taggedModel(other)
}
