/** Tells what was done: seen in a corner for some seconds, and read out. */

import { signal } from '@preact/signals'
import type { JSX } from 'preact'

const SHOWN_MS = 7000

const message = signal('')
let timer: ReturnType<typeof setTimeout> | undefined

export function tell(text: string): void {
  clearTimeout(timer)
  message.value = text
  timer = setTimeout(() => {
    message.value = ''
  }, SHOWN_MS)
}

export function Toast(): JSX.Element {
  return (
    <div class="toast" role="status" aria-live="polite">
      {message.value}
    </div>
  )
}
