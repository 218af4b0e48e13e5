/**
 * What is shown, kept fresh: one load after the other, none while the tab is hidden.
 *
 * A load that fails leaves what was shown before, with the error beside it.
 */

import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import { apiKey } from './api/client.ts'

export interface Live<T> {
  /** Null until the first load ended well. */
  readonly value: T | null
  readonly error: unknown
  /** Loads at once, and goes on from there. */
  readonly reload: () => void
}

export type Load<T> = (abort: AbortSignal) => Promise<T>

/**
 * @param key names what is loaded: another one begins anew.
 * @param everyMs from the end of a load to the next.
 */
export function useLive<T>(key: string, load: Load<T>, everyMs: number): Live<T> {
  const [state, setState] = useState<{ key: string; value: T | null; error: unknown }>({
    ...{ key, value: null, error: null },
  })
  const latest = useRef(load)
  latest.current = load
  const wake = useRef<() => void>(() => undefined)
  const withKey = apiKey.value

  useEffect(() => {
    const work = new LiveWork(
      async (abort) => {
        const value = await latest.current(abort)
        setState({ key, value, error: null })
      },
      (error) => setState((before) => ({ key, value: valueOf(before, key), error })),
      everyMs,
    )
    wake.current = () => work.wake()
    return () => work.end()
  }, [key, everyMs, withKey])

  const reload = useCallback(() => wake.current(), [])
  const isFresh = state.key === key
  return { value: valueOf(state, key), error: isFresh ? state.error : null, reload }
}

function valueOf<T>(state: { key: string; value: T | null }, key: string): T | null {
  return state.key === key ? state.value : null
}

/** The loop behind one view. */
class LiveWork {
  readonly #load: (abort: AbortSignal) => Promise<void>
  readonly #onError: (error: unknown) => void
  readonly #everyMs: number
  readonly #abort = new AbortController()
  #timer: ReturnType<typeof setTimeout> | undefined
  #isLoading = false
  #isAskedAgain = false

  constructor(
    load: (abort: AbortSignal) => Promise<void>,
    onError: (error: unknown) => void,
    everyMs: number,
  ) {
    this.#load = load
    this.#onError = onError
    this.#everyMs = everyMs
    document.addEventListener('visibilitychange', this.#seen)
    void this.#run()
  }

  wake(): void {
    this.#isAskedAgain = this.#isLoading
    if (this.#isLoading) return
    clearTimeout(this.#timer)
    void this.#run()
  }

  end(): void {
    document.removeEventListener('visibilitychange', this.#seen)
    clearTimeout(this.#timer)
    this.#abort.abort()
  }

  readonly #seen = (): void => {
    if (!document.hidden) this.wake()
  }

  async #run(): Promise<void> {
    this.#isLoading = true
    try {
      await this.#load(this.#abort.signal)
    } catch (error) {
      if (!this.#abort.signal.aborted) this.#onError(error)
    }
    this.#isLoading = false
    if (this.#abort.signal.aborted) return
    const soon = this.#isAskedAgain
    this.#isAskedAgain = false
    if (soon) return void this.#run()
    this.#timer = setTimeout(() => {
      if (!document.hidden) void this.#run()
    }, this.#everyMs)
  }
}
