/**
 * An HTTP proxy in front of a real S3 server that goes wrong as told, in the ways that networks,
 * load balancers and servers do.
 *
 * Faults are armed for requests whose URL contains a text, so that many cases run side by side, or
 * chosen for each request.
 */

import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import type { S3Server } from './s3-server.ts'

export const S3_FAULTS = [
  'http_500',
  'http_503_slow_down',
  'reset_before',
  'reset_after',
  'reset_in_body',
  'truncated_body',
  'corrupt_body',
  'latency',
  'hang',
  'http_412',
  'http_409',
  'alien_404',
  'stale_list',
  'ignored_condition',
] as const

export type S3Fault = (typeof S3_FAULTS)[number]

export interface S3FaultProxy {
  readonly endpoint: string
  /** Faults at the next `times` requests whose URL contains `part`. */
  arm(part: string, fault: S3Fault, times: number): void
  /** How often a fault struck a request whose URL contains `part`. */
  strikes(part: string): number
  close(): Promise<void>
}

interface Answer {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly body: Buffer
}

interface Armed {
  readonly part: string
  readonly fault: S3Fault
  left: number
  strikes: number
}

const LATENCY_MS = 50

/** @param choose asked for the fault of each request that none is armed for, by its plain URL. */
export async function startFaultProxy(
  target: S3Server,
  choose: (url: string) => S3Fault | null = () => null,
): Promise<S3FaultProxy> {
  const armed: Armed[] = []
  const client = new S3Client({
    endpoint: target.endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: target,
  })

  async function serve(incoming: IncomingMessage, reply: ServerResponse): Promise<void> {
    const fault = nextFault(decodeURIComponent(incoming.url ?? ''))
    const body = await bytesOf(incoming)
    if (fault === null) {
      send(reply, await forward(target.endpoint, incoming, body))
      return
    }
    const context = {
      incoming,
      reply,
      body,
      forward: () => forward(target.endpoint, incoming, body),
    }
    if (fault === 'ignored_condition') await ignoreCondition(context, client)
    else await strike(fault, context)
  }

  function nextFault(url: string): S3Fault | null {
    const found = armed.find(({ part, left }) => left > 0 && url.includes(part))
    if (found === undefined) return choose(url)
    found.left -= 1
    found.strikes += 1
    return found.fault
  }

  const server = createServer((incoming, reply) => {
    // A client that gave up is what many cases are about.
    serve(incoming, reply).catch(() => incoming.socket.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  return {
    endpoint: `http://127.0.0.1:${port}`,
    arm(part, fault, times) {
      armed.push({ part, fault, left: times, strikes: 0 })
    },
    strikes: (part) =>
      armed.filter((one) => one.part === part).reduce((sum, { strikes }) => sum + strikes, 0),
    async close() {
      client.destroy()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

interface Context {
  readonly incoming: IncomingMessage
  readonly reply: ServerResponse
  readonly body: Buffer
  readonly forward: () => Promise<Answer>
}

async function strike(fault: S3Fault, context: Context): Promise<void> {
  const { incoming, reply } = context
  const fail = (status: number, code: string): void => {
    send(reply, s3Error(status, code))
  }
  switch (fault) {
    case 'http_500':
      fail(500, 'InternalError')
      return
    case 'http_503_slow_down':
      fail(503, 'SlowDown')
      return
    case 'http_412':
      fail(412, 'PreconditionFailed')
      return
    case 'http_409':
      fail(409, 'ConditionalRequestConflict')
      return
    case 'alien_404':
      send(reply, alien404())
      return
    case 'reset_before':
      incoming.socket.destroy()
      return
    case 'hang':
      return
    default:
      await spoil(fault, await context.forward(), context)
  }
}

/** The faults of an answer: the request was carried out. */
async function spoil(fault: S3Fault, answer: Answer, context: Context): Promise<void> {
  const { incoming, reply } = context
  const half = answer.body.length >> 1
  switch (fault) {
    case 'latency':
      await sleep(LATENCY_MS)
      send(reply, answer)
      return
    case 'reset_in_body':
      reply.writeHead(answer.status, answer.headers)
      reply.write(answer.body.subarray(0, half))
      await sleep(10)
      incoming.socket.destroy()
      return
    case 'truncated_body': // With a length that hides it.
      send(reply, withBody(answer, answer.body.subarray(0, half)))
      return
    case 'corrupt_body': {
      const flipped = Buffer.from(answer.body)
      flipped[half] = (flipped[half] ?? 0) ^ 1
      send(reply, withBody(answer, flipped))
      return
    }
    case 'stale_list':
      send(reply, isList(incoming) ? emptyList(answer) : answer)
      return
    default: // reset_after
      incoming.socket.destroy()
  }
}

/** A server that knows no If-None-Match overwrites; the header is signed, so it is put anew. */
async function ignoreCondition(context: Context, client: S3Client): Promise<void> {
  const { incoming, reply, body } = context
  if (incoming.method !== 'PUT' || incoming.headers['if-none-match'] === undefined) {
    send(reply, await context.forward())
    return
  }
  const [, Bucket, ...key] = decodeURIComponent(incoming.url?.split('?')[0] ?? '').split('/')
  const checksum = incoming.headers['x-amz-meta-vectord-crc32']
  const Metadata = typeof checksum === 'string' ? { 'vectord-crc32': checksum } : {}
  await client.send(new PutObjectCommand({ Bucket, Key: key.join('/'), Body: body, Metadata }))
  send(reply, { status: 200, headers: { etag: '"ignored"' }, body: Buffer.alloc(0) })
}

function forward(endpoint: string, incoming: IncomingMessage, body: Buffer): Promise<Answer> {
  const { method, headers, url } = incoming
  return new Promise((resolve, reject) => {
    const outgoing = request(new URL(url ?? '/', endpoint), { method, headers }, (answer) => {
      bytesOf(answer).then((bytes) => {
        resolve({ status: answer.statusCode ?? 502, headers: answer.headers, body: bytes })
      }, reject)
    })
    outgoing.once('error', reject)
    outgoing.end(body)
  })
}

function send(reply: ServerResponse, answer: Answer): void {
  const { connection: _connection, ...headers } = answer.headers
  reply.writeHead(answer.status, headers)
  reply.end(reply.req.method === 'HEAD' ? undefined : answer.body)
}

function withBody(answer: Answer, body: Buffer): Answer {
  const isHead = answer.body.length === 0 // Its length is that of the object.
  const length = isHead ? {} : { 'content-length': String(body.length) }
  // As from a server that tells no checksums; with them the SDK finds out by itself.
  const headers = Object.entries(answer.headers).filter(([name]) => !name.includes('checksum'))
  return { ...answer, headers: { ...Object.fromEntries(headers), ...length }, body }
}

function s3Error(status: number, code: string): Answer {
  const body = Buffer.from(`<?xml version="1.0"?><Error><Code>${code}</Code></Error>`)
  const headers = { 'content-type': 'application/xml', 'content-length': String(body.length) }
  return { status, headers, body }
}

/** What a load balancer says that lost its servers. */
function alien404(): Answer {
  const body = Buffer.from('<html><body>404 page not found</body></html>')
  const headers = { 'content-type': 'text/html', 'content-length': String(body.length) }
  return { status: 404, headers, body }
}

function isList(incoming: IncomingMessage): boolean {
  return incoming.method === 'GET' && incoming.url?.includes('list-type=2') === true
}

function emptyList(answer: Answer): Answer {
  const body = Buffer.from(answer.body.toString().replaceAll(/<Contents>.*?<\/Contents>/gs, ''))
  return { ...answer, headers: { ...answer.headers, 'content-length': String(body.length) }, body }
}

async function bytesOf(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}
