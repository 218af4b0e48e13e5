/**
 * One keep-alive HTTP connection that sends prepared requests and keeps whole answers.
 *
 * A load generator shares the machine with the server, so it must be cheap: requests are bytes made
 * before, an answer is cut at its content-length and read later. One request at a time.
 */

import { connect, type Socket } from 'node:net'
import { once } from 'node:events'

export interface Answer {
  readonly status: number
  /** Status line and headers, as they came. */
  readonly head: Buffer
  readonly body: Buffer
}

const HEAD_END = Buffer.from('\r\n\r\n')
const LENGTH = Buffer.from('\r\ncontent-length: ')
const NO_BYTES = Buffer.alloc(0)

/** Bytes of a POST with a JSON body. */
export function postBytes(path: string, body: string | Uint8Array): Buffer {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  const head =
    `POST ${path} HTTP/1.1\r\nHost: vectord\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${bytes.length}\r\n\r\n`
  return Buffer.concat([Buffer.from(head), bytes])
}

export function headerOf(answer: Answer, name: string): string | null {
  const line = answer.head
    .toString('latin1')
    .split('\r\n')
    .find((header) => header.toLowerCase().startsWith(`${name}:`))
  return line === undefined ? null : line.slice(name.length + 1).trim()
}

export class HttpConnection {
  readonly #socket: Socket
  #received: Buffer = NO_BYTES
  #waiting: { resolve: (answer: Answer) => void; reject: (error: Error) => void } | null = null
  #broken: Error | null = null

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('error', (error) => this.#fail(error))
    socket.on('close', () => this.#fail(new Error('the server closed the connection')))
  }

  static async open(url: string): Promise<HttpConnection> {
    const { hostname, port } = new URL(url)
    const socket = connect({ host: hostname, port: Number(port) })
    await once(socket, 'connect')
    return new HttpConnection(socket)
  }

  request(bytes: Buffer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#broken !== null) {
        reject(this.#broken)
        return
      }
      this.#waiting = { resolve, reject }
      this.#socket.write(bytes)
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #take(chunk: Buffer): void {
    const received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    const headEnd = received.indexOf(HEAD_END)
    const end = headEnd === -1 ? Infinity : headEnd + 4 + lengthOf(received, headEnd)
    if (received.length < end) {
      this.#received = received
      return
    }
    this.#received = NO_BYTES
    const waiting = this.#waiting
    this.#waiting = null
    waiting?.resolve({
      status: Number(received.toString('latin1', 9, 12)),
      head: received.subarray(0, headEnd),
      body: received.subarray(headEnd + 4, end),
    })
  }

  #fail(error: Error): void {
    this.#broken ??= error
    this.#waiting?.reject(this.#broken)
    this.#waiting = null
  }
}

function lengthOf(received: Buffer, headEnd: number): number {
  const at = received.indexOf(LENGTH)
  if (at === -1 || at > headEnd) {
    throw new Error(`no content-length in: ${received.toString('latin1', 0, headEnd)}`)
  }
  return Number.parseInt(
    received.toString('latin1', at + LENGTH.length, at + LENGTH.length + 10),
    10,
  )
}
