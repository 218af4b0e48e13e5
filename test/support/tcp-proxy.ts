/**
 * A stretch of network between a client and a server of loopback: it counts what it carries, and breaks
 * when a test wants it.
 */

import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

export class TcpProxy {
  readonly port: number
  /** From the server to clients, on all connections so far. */
  bytes = 0
  connections = 0
  /** Breaks the connection that carries the byte of this number; then it is infinite again. */
  breakAtByte = Number.POSITIVE_INFINITY
  /** Breaks every new connection at once. */
  isDown = false
  /** Changes the first bytes of the server on a connection. */
  onGreeting: (bytes: Buffer) => Buffer = (bytes) => bytes
  /** Answers the first bytes of a client in the server's place, where it is not null. */
  onHello: (bytes: Buffer) => Buffer | null = () => null
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(server: Server, port: number) {
    this.#server = server
    this.port = port
  }

  static async start(targetPort: number): Promise<TcpProxy> {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const port = address !== null && typeof address === 'object' ? address.port : 0
    const proxy = new TcpProxy(server, port)
    server.on('connection', (client) => {
      proxy.#carry(client, connect(targetPort, '127.0.0.1'))
    })
    return proxy
  }

  /** Breaks what is open. */
  break(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  async close(): Promise<void> {
    this.break()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #carry(client: Socket, target: Socket): void {
    this.connections += 1
    for (const [socket, other] of [
      [client, target],
      [target, client],
    ] as const) {
      this.#sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        this.#sockets.delete(socket)
        other.destroy()
      })
    }
    if (this.isDown) {
      client.resetAndDestroy()
      return
    }
    client.once('data', (hello: Buffer) => {
      const answer = this.onHello(hello)
      if (answer === null) target.write(hello)
      else client.write(answer)
      client.pipe(target)
    })
    let isGreeting = true
    target.on('data', (received: Buffer) => {
      const chunk = isGreeting ? this.onGreeting(received) : received
      isGreeting = false
      this.bytes += chunk.length
      if (this.bytes >= this.breakAtByte) {
        this.breakAtByte = Number.POSITIVE_INFINITY
        client.resetAndDestroy()
        return
      }
      if (client.write(chunk)) return
      target.pause()
      client.once('drain', () => target.resume())
    })
    target.on('end', () => client.end())
  }
}
