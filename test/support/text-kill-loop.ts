/**
 * Texts on their way to vectors, through kills: a real server is killed in a known stage of the way,
 * started again, and left alone until nothing waits. Replayable by seed, but for the races themselves.
 *
 *     write ─┬─ killed at once, or while a write is under way      `written`
 *            ├─ killed while the next start learns who embeds      `asked_who`
 *            ├─ killed while the model thinks                      `thinking`
 *            ├─ killed within milliseconds after its answer        `answered`
 *            ╰─ killed while batch after batch is applied          `applying`
 *
 * After each start: every acknowledged text is there and no other, has the vector of its newest text,
 * is found by it, and nothing waits, has failed or is damaged.
 */

import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { Ledger, type Version } from './ledger.ts'
import { vectorOf } from './ollama-server.ts'
import { startOpenAi, type OpenAiServer } from './openai-server.ts'
import type { Service } from './service.ts'
import {
  assertVectors,
  createTexts,
  deleteTexts,
  foundBy,
  putTexts,
  startTexts,
  storedTexts,
  TEXTS,
  untilEmbedded,
} from './text-service.ts'
import { seededRandom } from './vectors.ts'

const IDS = 40
const STAGES = ['written', 'asked_who', 'thinking', 'answered', 'applying'] as const
/** Small batches, so that a few texts make many turns. */
const ENV = { VECTORD_PROJECTION_WRITE_BATCH: '4' }
const ANSWERED_MS_MAX = 25
const APPLYING_MS_MAX = 150
const CHECKPOINT_SHARE = 0.3

export interface TextKillOptions {
  readonly root: string
  readonly seed: number
  readonly kills: number
}

export interface TextKillCounts {
  kills: number
  written: number
  deleted: number
  checkpoints: number
  /** Texts that had no vector yet when the server was killed, or whose writes were not answered. */
  waited: number
  checked: number
}

export function newCounts(): TextKillCounts {
  return { kills: 0, written: 0, deleted: 0, checkpoints: 0, waited: 0, checked: 0 }
}

/** @throws with the seed and the kill on the first broken promise. */
export async function textKillLoop(options: TextKillOptions): Promise<TextKillCounts> {
  const openai = await startOpenAi()
  const loop = new TextKillLoop(options, openai)
  try {
    await loop.run()
    return loop.counts
  } finally {
    await loop.close()
    await openai.close()
  }
}

class TextKillLoop {
  readonly counts: TextKillCounts = newCounts()
  readonly #options: TextKillOptions
  readonly #openai: OpenAiServer
  readonly #random: () => number
  readonly #ledger = new Ledger()
  readonly #versions = new Map<string, Version>()
  #service: Service | null = null

  constructor(options: TextKillOptions, openai: OpenAiServer) {
    this.#options = options
    this.#openai = openai
    this.#random = seededRandom(options.seed)
  }

  async run(): Promise<void> {
    await createTexts(await this.#start())
    for (let kill = 0; kill < this.#options.kills; kill += 1) {
      const stage = STAGES[kill % STAGES.length] ?? 'written'
      try {
        await this.#killIn(stage)
        this.counts.kills += 1
        await this.#check(await this.#start())
      } catch (error) {
        const { seed } = this.#options
        throw new Error(`seed ${seed}, kill ${kill + 1}, ${stage}`, { cause: error })
      }
    }
  }

  async close(): Promise<void> {
    await this.#service?.kill()
  }

  get #alive(): Service {
    assert.ok(this.#service !== null)
    return this.#service
  }

  async #start(): Promise<Service> {
    this.#service = await startTexts(this.#options.root, this.#openai, ENV)
    return this.#service
  }

  async #killIn(stage: (typeof STAGES)[number]): Promise<void> {
    if (stage === 'written') return this.#killWriting()
    if (stage === 'asked_who') return this.#killAskingWho()
    if (stage === 'applying') {
      await this.#change()
      await delay(this.#random() * APPLYING_MS_MAX)
      return this.#alive.kill()
    }
    this.#openai.hold()
    const [text = ''] = await this.#change()
    await this.#openai.askedFor(text)
    // What the model thinks about may be of yesterday.
    await this.#change()
    if (stage === 'thinking') await this.#alive.kill()
    this.#openai.release()
    if (stage === 'answered') await delay(this.#random() * ANSWERED_MS_MAX)
    await this.#alive.kill()
  }

  async #killWriting(): Promise<void> {
    await this.#change()
    const lost = this.#change().catch(() => null)
    await delay(this.#random() * ANSWERED_MS_MAX)
    await this.#alive.kill()
    await lost
  }

  async #killAskingWho(): Promise<void> {
    this.#openai.hold()
    await this.#change()
    await this.#alive.kill()
    const asked = this.#openai.calls.length
    const service = await this.#start()
    await this.#openai.asked(asked + 1)
    await service.kill()
    this.#openai.release()
  }

  /** New texts, edited ones and deleted ones. @returns the texts, in the order of their writes. */
  async #change(): Promise<readonly string[]> {
    const chosen = new Set<string>()
    for (let i = 0; i < IDS / 3; i += 1) chosen.add(`n${Math.floor(this.#random() * IDS)}`)
    const ids = [...chosen]
    const changes = ids.map((id) => ({ id, version: this.#next(id) }))
    for (const { id, version } of changes) this.#ledger.sent(id, version)
    const texts = changes.map(({ id, version }) => [id, textOf(id, version)] as const)
    await putTexts(this.#alive, Object.fromEntries(texts))
    for (const { id, version } of changes) this.#ledger.acknowledged(id, version)
    this.counts.written += ids.length
    // The first stays: somebody waits until it is asked for.
    const gone = ids.slice(1).slice(-2)
    for (const id of gone) this.#ledger.sent(id, 0)
    await deleteTexts(this.#alive, gone)
    for (const id of gone) this.#ledger.acknowledged(id, 0)
    this.counts.deleted += gone.length
    // Then a start has it from the parts of a checkpoint, else from the log.
    if (this.#random() < CHECKPOINT_SHARE) {
      await this.#alive.must('POST', `${TEXTS}/checkpoint?wait=true`)
      this.counts.checkpoints += 1
    }
    return texts.map(([, text]) => text)
  }

  #next(id: string): Version {
    const version = (this.#versions.get(id) ?? 0) + 1
    this.#versions.set(id, version)
    return version
  }

  async #check(service: Service): Promise<void> {
    const before = await storedTexts(service)
    this.counts.waited += [...before.values()].filter(({ vector }) => vector === null).length
    const { failed } = await untilEmbedded(service)
    assert.equal(failed, 0, 'nothing has failed')
    const stored = await storedTexts(service)
    const known = new Set(this.#ledger.ids)
    for (const id of stored.keys()) assert.ok(known.has(id), `${id} was written`)
    for (const id of known) {
      const version = versionOf(stored.get(id)?.text)
      const allowed = this.#ledger.allowed(id)
      assert.ok(allowed.has(version), `${id} is at ${version}, allowed ${[...allowed].join(' ')}`)
      this.#ledger.settle(id, version)
    }
    const { mood } = this.#openai
    assertVectors(stored.values(), (text) => vectorOf(text, mood.dimension))
    for (const { id, text } of stored.values()) {
      assert.deepEqual(await foundBy(service, text), [id], text)
    }
    const { clean } = (await service.must('POST', `${TEXTS}/verify?wait=true`)) as {
      clean: boolean
    }
    assert.ok(clean, 'verify is clean')
    this.counts.checked += stored.size
  }
}

/** No two texts are alike. */
function textOf(id: string, version: Version): string {
  return `note ${id} edition${version}`
}

function versionOf(text: string | undefined): Version {
  return Number(/edition(\d+)$/.exec(text ?? '')?.[1] ?? 0)
}
