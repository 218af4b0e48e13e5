/**
 * How far long work is, on stderr: a bar that moves where a person looks at a terminal, and a plain
 * line for each tenth where it goes to a file or a pipe.
 */

const WIDTH = 24
/** A terminal is drawn anew at most so often. */
const REDRAW_MS = 100

export class ProgressBar {
  readonly #what: string
  readonly #total: number
  readonly #startMs = performance.now()
  #drawnMs = -Infinity
  #tenths = -1
  #isOver = false

  constructor(what: string, total: number) {
    this.#what = what
    this.#total = total
  }

  /** `done` never goes down; at the total the bar is finished. */
  update(done: number): void {
    if (this.#isOver) return
    this.#isOver = done >= this.#total
    if (process.stderr.isTTY) this.#draw(done)
    else this.#print(done)
  }

  #draw(done: number): void {
    const nowMs = performance.now()
    if (nowMs - this.#drawnMs < REDRAW_MS && !this.#isOver) return
    this.#drawnMs = nowMs
    const filled = Math.round(WIDTH * this.#share(done))
    const bar = '█'.repeat(filled) + '░'.repeat(WIDTH - filled)
    process.stderr.write(`\r\x1b[2K${this.#what} ${bar} ${this.#text(done)}`)
    if (this.#isOver) process.stderr.write('\n')
  }

  #print(done: number): void {
    const tenths = Math.floor(10 * this.#share(done))
    if (tenths === this.#tenths) return
    this.#tenths = tenths
    process.stderr.write(`${this.#what}: ${this.#text(done)}\n`)
  }

  #share(done: number): number {
    return this.#total === 0 ? 1 : Math.min(1, done / this.#total)
  }

  #text(done: number): string {
    const seconds = (performance.now() - this.#startMs) / 1000
    const rate = seconds > 0 ? done / seconds : 0
    const left = rate > 0 ? (this.#total - done) / rate : null
    const end = this.#isOver ? `in ${time(seconds)}` : `${left === null ? '?' : time(left)} left`
    return `${done} of ${this.#total}, ${Math.round(rate)}/s, ${end}`
  }
}

function time(seconds: number): string {
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  return `${Math.floor(whole / 60)} min ${whole % 60} s`
}
