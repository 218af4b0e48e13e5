/**
 * One life of the process of the built-in embedder: from its start to its end.
 *
 *     starting ──ready──▶ answers one batch at a time ──▶ gone
 *
 * A process that takes far too long hangs, and is killed: whoever waits learns that it is gone.
 */

import { startChild, type Child, type ChildExit } from '../processes/child.ts'
import { MessagePipe } from '../processes/message-pipe.ts'
import type { EmbedderIdentity } from './embedder.ts'
import type { LocalReply, LocalRequest } from './local-messages.ts'

const ENTRY = new URL('local-embedder-main.ts', import.meta.url)

/** Loading takes a second, a batch a fraction of one; a busy machine may take many times that. */
const SILENCE_MS_MAX = 60_000

/** The process ended before it answered. */
export class ProcessGone extends Error {
  override readonly name = 'ProcessGone'
}

/** The model threw at a batch; the process goes on. */
export class BatchRefused extends Error {
  override readonly name = 'BatchRefused'
}

interface Waiting {
  readonly id: number
  readonly resolve: (vectors: readonly Float32Array[]) => void
  readonly reject: (error: Error) => void
}

export class LocalProcess {
  /** @throws {ProcessGone} */
  readonly ready: Promise<EmbedderIdentity>
  readonly gone: Promise<ChildExit>
  readonly #child: Child
  readonly #pipe: MessagePipe
  readonly #silenceMsMax: number
  readonly #started = Promise.withResolvers<EmbedderIdentity>()
  #silence: NodeJS.Timeout | null = null
  #waiting: Waiting | null = null
  #lastId = 0
  #isOver = false

  constructor(silenceMsMax = SILENCE_MS_MAX) {
    this.#silenceMsMax = silenceMsMax
    const gone = Promise.withResolvers<ChildExit>()
    this.gone = gone.promise
    this.ready = this.#started.promise
    // Who waits for it hears of the failure; nobody has to.
    this.ready.catch(() => null)
    this.#child = startChild({ module: ENTRY, args: [], onExit: (exit) => gone.resolve(exit) })
    this.#pipe = new MessagePipe(this.#child.channel, {
      // The child sends nothing else.
      onMessage: (message) => this.#receive(message as LocalReply),
      onClose: () => this.#end(),
    })
    void this.gone.then(() => this.#end())
    this.#listen()
  }

  get pid(): number | null {
    return this.#child.pid ?? null
  }

  /** The process has ended, or is about to. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** One batch; the next may come when this has been answered. @throws {ProcessGone | BatchRefused} */
  embed(texts: readonly string[]): Promise<readonly Float32Array[]> {
    return new Promise((resolve, reject) => {
      if (this.#isOver) throw new ProcessGone()
      this.#lastId += 1
      this.#waiting = { id: this.#lastId, resolve, reject }
      this.#listen()
      this.#pipe.send({ id: this.#lastId, texts } satisfies LocalRequest)
    })
  }

  kill(): void {
    this.#end()
  }

  #receive(reply: LocalReply): void {
    this.#hear()
    if (reply.kind === 'ready') {
      this.#started.resolve(reply.identity)
      return
    }
    const waiting = this.#waiting
    if (waiting?.id !== reply.id) return
    this.#waiting = null
    if (reply.kind === 'vectors') waiting.resolve(reply.vectors)
    else waiting.reject(new BatchRefused(reply.message))
  }

  #listen(): void {
    this.#hear()
    this.#silence = setTimeout(() => this.#end(), this.#silenceMsMax)
    this.#silence.unref()
  }

  #hear(): void {
    if (this.#silence !== null) clearTimeout(this.#silence)
    this.#silence = null
  }

  #end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#hear()
    this.#child.kill()
    this.#started.reject(new ProcessGone())
    this.#waiting?.reject(new ProcessGone())
    this.#waiting = null
  }
}
