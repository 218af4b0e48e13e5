/**
 * The memory of a model server, for tests of the GPU slot: it writes down every call in order, and
 * fails or waits where a test says so.
 */

import type { VectordError } from '../../src/lib/errors.ts'
import type { LoadedModel, ModelMemory } from '../../src/profiles/model-memory.ts'

export class FakeModels implements ModelMemory {
  /** `preload a 5m`, `unload a`; looks are not written down. */
  readonly calls: string[] = []
  /** What is in memory, as the server names it: with its tag. */
  readonly memory = new Set<string>()
  /** What the next call of this kind throws; kept until it is removed. */
  readonly failures = new Map<'preload' | 'unload' | 'loaded', VectordError>()
  /** A preload does its work and waits for this before it answers. */
  gate: Promise<void> = Promise.resolve()
  /** True where a call that fails has done its work all the same. */
  worksAllTheSame = false
  /** Models in memory at the same time, at the most. */
  most = 0

  async preload(model: string, keepAlive: string): Promise<void> {
    this.calls.push(`preload ${model} ${keepAlive}`)
    this.#do('preload', () => this.memory.add(tagged(model)))
    this.most = Math.max(this.most, this.memory.size)
    await this.gate
  }

  async unload(model: string): Promise<void> {
    this.calls.push(`unload ${model}`)
    this.#do('unload', () => this.memory.delete(tagged(model)))
  }

  async loaded(): Promise<readonly LoadedModel[]> {
    this.#do('loaded', () => undefined)
    return [...this.memory].map((model) => ({ model, bytes: 10, vramBytes: 6, expiresAt: null }))
  }

  #do(kind: 'preload' | 'unload' | 'loaded', work: () => unknown): void {
    const failure = this.failures.get(kind)
    if (failure === undefined || this.worksAllTheSame) work()
    if (failure !== undefined) throw failure
  }
}

function tagged(model: string): string {
  return model.includes(':') ? model : `${model}:latest`
}
