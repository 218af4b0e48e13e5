/**
 * A server that holds models in the memory of a machine or of its GPU: the contract.
 */

export interface LoadedModel {
  /** As the server calls it, with its tag. */
  readonly model: string
  readonly bytes: number
  /** Of them, in the memory of the GPU. */
  readonly vramBytes: number
  /** When it is to be unloaded; null where the server does not say. */
  readonly expiresAt: string | null
}

/** Each throws {VectordError} `model_server_unavailable` where the server does not answer. */
export interface ModelServer {
  /**
   * Loads a model into memory; done when it is there. One that is loaded stays.
   * @param keepAlive how long it stays without being used: `5m`.
   * @throws {VectordError} `model_not_found`
   */
  preload(model: string, keepAlive: string): Promise<void>
  /** Takes it out of memory. One that is not loaded is no error. @throws `model_not_found` */
  unload(model: string): Promise<void>
  loaded(): Promise<readonly LoadedModel[]>
}

/** The name by which the server lists a model: one without a tag is `latest`. */
export function taggedModel(model: string): string {
  const last = model.slice(model.lastIndexOf('/') + 1)
  return last.includes(':') ? model : `${model}:latest`
}
