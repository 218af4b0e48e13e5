/** Pages of a list that is read by cursors: on to the next one, and back to those before it. */

import { useState } from 'preact/hooks'

export interface CursorPages {
  /** Of the page that is shown; null is the first. */
  readonly cursor: string | null
  /** Rows before it. */
  readonly before: number
  /** Null on the first page. */
  readonly onBack: (() => void) | null
  /** @param next what the page that is shown names as the next one; null at the end. */
  readonly onNext: (next: string | null) => (() => void) | null
}

export function useCursorPages(pageRows: number): CursorPages {
  /** Of the pages before the one that is shown, and its own last. */
  const [cursors, setCursors] = useState<readonly (string | null)[]>([null])
  return {
    cursor: cursors.at(-1) ?? null,
    before: (cursors.length - 1) * pageRows,
    onBack: cursors.length > 1 ? () => setCursors(cursors.slice(0, -1)) : null,
    onNext: (next) => (next === null ? null : () => setCursors([...cursors, next])),
  }
}
