/**
 * Which text of which point a vector was made from.
 */

import { createHash } from 'node:crypto'

/** SHA-256, in hex, of the id, a NUL and the text. */
export function textHash(id: string, text: string): string {
  return createHash('sha256').update(`${id}\0${text}`).digest('hex')
}
