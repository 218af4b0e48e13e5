/**
 * A collector of OpenTelemetry: takes spans as OTLP protobuf over HTTP, and goes wrong as told.
 *
 *     const collector = await startCollector()
 *     collector.mood.status = 503          // until it is 200 again
 *     collector.mood.isSilent = true       // takes requests and never answers
 *     await collector.spansWhen((spans) => spans.length > 3)
 *
 * The protobuf is read by the numbers of opentelemetry-proto 1.x, trace/v1: not by the code that wrote it.
 */

import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { gunzipSync } from 'node:zlib'

type AttributeValue = string | boolean | number | null

export interface ReceivedSpan {
  readonly traceId: string
  readonly spanId: string
  /** Empty for a root. */
  readonly parentSpanId: string
  readonly name: string
  /** 1 internal, 2 server, 3 client. */
  readonly kind: number
  readonly startNs: bigint
  readonly endNs: bigint
  readonly attributes: Readonly<Record<string, AttributeValue>>
  readonly events: readonly { readonly name: string; readonly atNs: bigint }[]
  /** 0 unset, 1 ok, 2 error. */
  readonly status: number
  readonly statusMessage: string
  /** Of the resource. */
  readonly resource: Readonly<Record<string, AttributeValue>>
}

export interface Collector {
  readonly url: string
  readonly spans: readonly ReceivedSpan[]
  /** Of each export. */
  readonly requests: readonly { readonly path: string; readonly headers: IncomingHttpHeaders }[]
  /** Every body, for what must be in none. */
  readonly bytes: Buffer
  readonly mood: { status: number; isSilent: boolean }
  /** Resolves once what has come satisfies `isEnough`. */
  spansWhen(isEnough: (spans: readonly ReceivedSpan[]) => boolean): Promise<readonly ReceivedSpan[]>
  close(): Promise<void>
}

export async function startCollector(): Promise<Collector> {
  const spans: ReceivedSpan[] = []
  const bodies: Buffer[] = []
  const requests: { path: string; headers: IncomingHttpHeaders }[] = []
  const mood = { status: 200, isSilent: false }
  const watchers = new Set<() => void>()
  const server = createServer((request, reply) => {
    void buffer(request).then((raw) => {
      const { headers, url: path = '' } = request
      requests.push({ path, headers })
      if (!mood.isSilent && mood.status === 200) {
        const body = headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw
        bodies.push(body)
        spans.push(...readRequest(body))
      }
      for (const tell of watchers) tell()
      if (mood.isSilent) return
      reply.writeHead(mood.status, { 'content-type': 'application/x-protobuf' }).end()
    })
  }).listen(0, '127.0.0.1')
  await new Promise<void>((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    ...{ spans, requests, mood },
    get bytes() {
      return Buffer.concat(bodies)
    },
    async spansWhen(isEnough) {
      while (!isEnough(spans)) {
        const { promise, resolve } = Promise.withResolvers<null>()
        const tell = (): void => resolve(null)
        watchers.add(tell)
        await promise
        watchers.delete(tell)
      }
      return spans
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** The span of that name; where there are several, the first to end. */
export function spanNamed(spans: readonly ReceivedSpan[], name: string): ReceivedSpan {
  const found = spans.find((span) => span.name === name)
  if (found === undefined) {
    throw new Error(`no span ${name} among ${spans.map((span) => span.name).join(', ')}`)
  }
  return found
}

type Wire = bigint | Buffer

/** The fields of a message, by number. */
function fieldsOf(message: Buffer): Map<number, Wire[]> {
  const fields = new Map<number, Wire[]>()
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = message.readUInt8(at)
      at += 1
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  const fixed = (bytes: number): Buffer => {
    if (at + bytes > message.length) throw new Error('the message ends in a field')
    at += bytes
    return message.subarray(at - bytes, at)
  }
  while (at < message.length) {
    const tag = Number(varint())
    const values = fields.get(tag >> 3) ?? []
    fields.set(tag >> 3, values)
    if ((tag & 7) === 0) values.push(varint())
    else if ((tag & 7) === 1) values.push(fixed(8).readBigUInt64LE())
    else if ((tag & 7) === 2) values.push(fixed(Number(varint())))
    else if ((tag & 7) === 5) values.push(BigInt(fixed(4).readUInt32LE()))
    else throw new Error(`wire type ${tag & 7}`)
  }
  return fields
}

function messages(fields: Map<number, Wire[]>, number: number): Buffer[] {
  return (fields.get(number) ?? []).map((value) => {
    if (typeof value === 'bigint') throw new Error(`field ${number} is no message`)
    return value
  })
}

function bytesOf(fields: Map<number, Wire[]>, number: number): Buffer {
  return messages(fields, number).at(-1) ?? Buffer.alloc(0)
}

function numberOf(fields: Map<number, Wire[]>, number: number): bigint {
  const value = fields.get(number)?.at(-1) ?? 0n
  if (typeof value !== 'bigint') throw new Error(`field ${number} is no number`)
  return value
}

function readRequest(body: Buffer): ReceivedSpan[] {
  return messages(fieldsOf(body), 1).flatMap((ofResource) => {
    const fields = fieldsOf(ofResource)
    const resource = attributesOf(fieldsOf(bytesOf(fields, 1)), 1)
    return messages(fields, 2)
      .flatMap((ofScope) => messages(fieldsOf(ofScope), 2))
      .map((span) => readSpan(span, resource))
  })
}

function readSpan(message: Buffer, resource: ReceivedSpan['resource']): ReceivedSpan {
  const fields = fieldsOf(message)
  const status = fieldsOf(bytesOf(fields, 15))
  return {
    traceId: bytesOf(fields, 1).toString('hex'),
    spanId: bytesOf(fields, 2).toString('hex'),
    parentSpanId: bytesOf(fields, 4).toString('hex'),
    name: bytesOf(fields, 5).toString(),
    kind: Number(numberOf(fields, 6)),
    startNs: numberOf(fields, 7),
    endNs: numberOf(fields, 8),
    attributes: attributesOf(fields, 9),
    events: messages(fields, 11)
      .map(fieldsOf)
      .map((event) => ({ name: bytesOf(event, 2).toString(), atNs: numberOf(event, 1) })),
    status: Number(numberOf(status, 3)),
    statusMessage: bytesOf(status, 2).toString(),
    resource,
  }
}

function attributesOf(
  fields: Map<number, Wire[]>,
  number: number,
): Readonly<Record<string, AttributeValue>> {
  const entries = messages(fields, number)
    .map(fieldsOf)
    .map((pair) => [bytesOf(pair, 1).toString(), valueOf(fieldsOf(bytesOf(pair, 2)))] as const)
  return Object.fromEntries(entries)
}

/** An AnyValue: exactly one of its fields is there. */
function valueOf(fields: Map<number, Wire[]>): AttributeValue {
  if (fields.has(1)) return bytesOf(fields, 1).toString()
  if (fields.has(2)) return numberOf(fields, 2) === 1n
  if (fields.has(3)) return Number(BigInt.asIntN(64, numberOf(fields, 3)))
  if (!fields.has(4)) return null
  const bits = Buffer.alloc(8)
  bits.writeBigUInt64LE(numberOf(fields, 4))
  return bits.readDoubleLE()
}
