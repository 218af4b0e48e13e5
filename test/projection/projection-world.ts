/**
 * A projection over indexes and embedders that do what the test says, under a clock that it moves.
 */

import type { TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { EmbedderStamp } from '../../src/domain/pending-text.ts'
import { VectordError } from '../../src/lib/errors.ts'
import type { ProjectionRules } from '../../src/projection/embedder-worker.ts'
import type { Identity, TextEmbedder } from '../../src/projection/ports.ts'
import { Projection } from '../../src/projection/projection.ts'
import type { DrainReport } from '../../src/projection/projection-drain.ts'
import { FakeTextIndex } from './fake-index-texts.ts'

export const RULES: ProjectionRules = {
  ...{ writeBatch: 64, backfillBatch: 32, backfillAfterMs: 30_000, backfillShare: 8 },
  ...{ tickMs: 250, failedMax: 10_000 },
}

export const STAMP: EmbedderStamp = {
  ...{ name: 'local', model: 'small', version: '1', dimension: 2, normalised: true },
}

/** What made vectors before. */
export const OLD: EmbedderStamp = { ...STAMP, model: 'old' }

export const UNAVAILABLE = new VectordError('embedder_unavailable', 'Nobody is there.')

export class FakeEmbedder implements TextEmbedder {
  is: Identity = STAMP
  /** Texts of each call. */
  readonly calls: string[][] = []
  /** Awaited before an answer; what it throws, the call throws. */
  at: (stage: 'identity' | 'embed', texts: readonly string[]) => Promise<void> = () =>
    Promise.resolve()
  /** Texts that fail every call that they are in. */
  readonly poison = new Set<string>()
  answer: (texts: readonly string[]) => Float32Array[] = (texts) =>
    texts.map((text) => Float32Array.of(text.length, 1))
  aborts = 0

  async identity(): Promise<Identity> {
    await this.at('identity', [])
    const { model, version, dimension, normalised } = this.is
    return { model, version, dimension, normalised }
  }

  async embed(texts: readonly string[], signal?: AbortSignal): Promise<Float32Array[]> {
    this.calls.push([...texts])
    signal?.addEventListener('abort', () => (this.aborts += 1))
    await this.at('embed', texts)
    if (texts.some((text) => this.poison.has(text))) {
      throw new VectordError('embedder_failed', 'One of them is bad.')
    }
    return this.answer(texts)
  }
}

export interface ProjectionWorld {
  readonly projection: Projection
  readonly indexes: FakeTextIndex[]
  /** The first index and the embedder of its name. */
  readonly index: FakeTextIndex
  readonly embedder: FakeEmbedder
  readonly embedders: Map<string, FakeEmbedder>
  readonly troubles: unknown[]
  /** Lets everything happen that is due, then moves the clock on in ticks. */
  pass(ms: number): Promise<void>
  drain(index?: string, ms?: number): Promise<DrainReport>
  /** Another projection over the same indexes, as after a restart. */
  restart(): Projection
}

/** Not started: the test writes first, or starts it. */
export function openProjection(
  t: TestContext,
  { rules = RULES, stamp = STAMP }: { rules?: ProjectionRules; stamp?: EmbedderStamp } = {},
): ProjectionWorld {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1_000_000 })
  const index = new FakeTextIndex('docs', stamp)
  const embedder = new FakeEmbedder()
  const indexes = [index]
  const embedders = new Map([[stamp.name, embedder]])
  const troubles: unknown[] = []
  const make = (): Projection => {
    const projection = new Projection({
      indexes: {
        list: () => indexes,
        get: (name) => {
          const found = indexes.find(({ info }) => info.name === name)
          if (found === undefined) throw new VectordError('index_not_found', 'There is none.')
          return found
        },
      },
      embedders: {
        get: (name) => {
          const found = embedders.get(name)
          if (found === undefined) throw new VectordError('not_configured', 'There is none.')
          return found
        },
      },
      ...{ rules, nowMs: () => Date.now(), clockMs: () => Date.now() },
      onTrouble: (error) => troubles.push(error),
    })
    t.after(() => projection.close())
    return projection
  }
  const projection = make()
  return {
    ...{ projection, indexes, index, embedder, embedders, troubles, restart: make },
    pass: async (ms) => {
      await turns()
      for (let passed = 0; passed < ms; passed += STEP_MS) {
        t.mock.timers.tick(Math.min(STEP_MS, ms - passed))
        await turns()
      }
    },
    drain: (name, ms = 60_000) =>
      projection.drain({
        ...{ index: name ?? null, isSeen: () => true, deadlineMs: Date.now() + ms },
      }),
  }
}

const STEP_MS = 50

/** Enough for a chain of promises to get to its next timer. */
export async function turns(): Promise<void> {
  for (let turn = 0; turn < 4; turn += 1) await nextTurn()
}

/** `{prefix}{n}` with a text of the same words. */
export function textsOf(prefix: string, count: number): Record<string, string> {
  return Object.fromEntries(
    Array.from({ length: count }, (_, i) => [`${prefix}${i}`, `text ${prefix}${i}`]),
  )
}

/** A promise that the test resolves. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  return {
    opened: promise,
    open: () => {
      resolve(undefined)
    },
  }
}
