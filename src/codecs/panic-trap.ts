/**
 * Catches what WebAssembly throws outside of any promise: a panic within parquet-wasm comes as an
 * uncaught exception, which would end the process.
 *
 * The trap is open only while somebody waits for parquet-wasm. What else is uncaught in that time goes
 * on its way: it is thrown again with the trap shut.
 */

type OnPanic = (cause: Error) => void

const waiting = new Set<OnPanic>()

/** Waits for `work`; `onPanic` is told of every panic meanwhile, whoever's it was. */
export async function trapPanics<T>(work: () => Promise<T>, onPanic: OnPanic): Promise<T> {
  open(onPanic)
  try {
    return await work()
  } finally {
    shut(onPanic)
  }
}

function open(onPanic: OnPanic): void {
  if (waiting.size === 0) process.setUncaughtExceptionCaptureCallback(caught)
  waiting.add(onPanic)
}

function shut(onPanic: OnPanic): void {
  waiting.delete(onPanic)
  if (waiting.size === 0) process.setUncaughtExceptionCaptureCallback(null)
}

function caught(error: Error): void {
  if (error.name === 'RuntimeError') {
    for (const tell of waiting) tell(error)
    return
  }
  process.setUncaughtExceptionCaptureCallback(null)
  waiting.clear()
  queueMicrotask(() => {
    throw error
  })
}
