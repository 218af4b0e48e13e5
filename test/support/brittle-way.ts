/**
 * A way to a server of a test that breaks after so many bytes of answers, so many times.
 */

import { connect, createServer, type Socket } from 'node:net'
import type { TestContext } from 'node:test'

interface BrittleWay {
  readonly port: number
  readonly broken: () => number
}

export async function brittleWay(
  t: TestContext,
  serverPort: number,
  { bytes, breaks }: { readonly bytes: number; readonly breaks: number },
): Promise<BrittleWay> {
  let broken = 0
  const open = new Set<Socket>()
  const way = createServer((client) => {
    const upstream = connect(serverPort, '127.0.0.1')
    let passed = 0
    for (const socket of [client, upstream]) {
      open.add(socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => {
        open.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    client.pipe(upstream)
    upstream.on('data', (chunk: Buffer) => {
      passed += chunk.byteLength
      if (passed > bytes && broken < breaks) {
        broken += 1
        client.destroy()
        return
      }
      if (!client.write(chunk)) {
        upstream.pause()
        client.once('drain', () => upstream.resume())
      }
    })
  })
  await new Promise<void>((resolve) => {
    way.listen(0, '127.0.0.1', resolve)
  })
  t.after(() => {
    way.close()
    for (const socket of open) socket.destroy()
  })
  const address = way.address()
  if (typeof address !== 'object' || address === null) throw new Error('it does not listen')
  return { port: address.port, broken: () => broken }
}
