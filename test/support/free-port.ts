/**
 * A port of loopback for a program that cannot choose one itself.
 */

import { createServer } from 'node:net'

/** Free when this returns: another process may take it before it is used. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = address !== null && typeof address === 'object' ? address.port : 0
      server.close(() => {
        resolve(port)
      })
    })
  })
}
