/**
 * A call that may never come back, and one that has to end when the projection closes.
 */

/**
 * What `call` answers; its signal is aborted where nobody waits any more.
 *
 * @throws what `late` makes after `ms` milliseconds; the reason of `signal` once that is aborted.
 */
export async function boundedCall<T>(
  call: (signal: AbortSignal) => Promise<T>,
  bounds: { readonly ms: number; readonly signal: AbortSignal; readonly late: () => Error },
): Promise<T> {
  const { ms, signal, late } = bounds
  signal.throwIfAborted()
  const abort = new AbortController()
  let end: (error: Error) => void = () => undefined
  // The race has handlers on both: the one that loses is nobody's unhandled rejection.
  const ended = new Promise<never>((_resolve, reject) => {
    end = (error) => {
      abort.abort(error)
      reject(error)
    }
  })
  const onAbort = (): void => {
    end(new CallEnded())
  }
  const timer = setTimeout(() => {
    end(late())
  }, ms)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([call(abort.signal), ended])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
}

/** Nobody waits for the call any more. */
export class CallEnded extends Error {
  override readonly name = 'CallEnded'
}
