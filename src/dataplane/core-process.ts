/**
 * One life of a core: from the start of its process to its end.
 *
 *     starting ──hello──▶ up ──channel closed──▶ down ──process ended──▶ gone
 *
 * `onDown` comes as soon as the channel closes, when the reason is not known yet; `onGone` comes
 * after it, once. A process that says nothing for long (it beats four times a second) hangs, in
 * native code or in a loop, and is killed.
 */

import { startChild, type Child, type ChildExit } from '../processes/child.ts'
import { FRAME, type Frame } from './frame.ts'
import { FrameChannel } from './frame-channel.ts'

/** Silence is measured in this many steps, so that a front that stalled itself blames nobody. */
const SILENCE_STEPS = 4

export interface CoreExit extends ChildExit {
  /** It was killed because it hung. */
  readonly hung: boolean
}

export interface CoreProcessOptions {
  /** The program of the core, and its one argument as JSON. */
  readonly module: URL
  readonly argument: unknown
  readonly env?: Readonly<Record<string, string>>
  readonly silenceMaxMs: number
  onUp(): void
  onFrame(frame: Frame): void
  onDown(): void
  onGone(exit: CoreExit): void
}

export class CoreProcess {
  readonly channel: FrameChannel
  readonly #options: CoreProcessOptions
  readonly #child: Child
  readonly #listening: NodeJS.Timeout
  #silentSteps = 0
  #down = false
  #hung = false

  constructor(options: CoreProcessOptions) {
    this.#options = options
    this.#child = startChild({
      module: options.module,
      args: [JSON.stringify(options.argument)],
      ...(options.env !== undefined && { env: options.env }),
      onExit: (exit) => this.#ended(exit),
    })
    this.channel = new FrameChannel(this.#child.channel, {
      onFrame: (frame) => this.#receive(frame),
      onClose: () => this.#closed(),
    })
    this.#listening = setInterval(() => this.#listen(), options.silenceMaxMs / SILENCE_STEPS)
    this.#listening.unref()
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  kill(): void {
    this.#child.kill()
  }

  #receive(frame: Frame): void {
    this.#silentSteps = 0
    if (frame.type === FRAME.hello) this.#options.onUp()
    else this.#options.onFrame(frame)
  }

  #listen(): void {
    this.#silentSteps += 1
    if (this.#silentSteps <= SILENCE_STEPS) return
    this.#hung = true
    this.#child.kill()
  }

  #closed(): void {
    if (this.#down) return
    this.#down = true
    clearInterval(this.#listening)
    // Without its channel a core is of no use, should it still run.
    this.#child.kill()
    this.#options.onDown()
  }

  #ended(exit: ChildExit): void {
    this.#closed()
    this.#options.onGone({ ...exit, hung: this.#hung })
  }
}
