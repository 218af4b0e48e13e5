/**
 * A server that speaks the embeddings protocol of OpenAI, and goes wrong as told.
 *
 *     const openai = await startOpenAi({ key: 'secret' })
 *     openai.arm('status_429', 1, { 'retry-after': '1' })
 *     openai.hold()                       // it thinks until `release()`
 *     openai.mood.isDown = true           // until it is false again
 *
 * It answers the vectors in reverse order, as the protocol allows: each has its `index`.
 */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { text as readText } from 'node:stream/consumers'
import { vectorOf } from './ollama-server.ts'

export type OpenAiFault =
  | 'status_400'
  | 'status_404'
  | 'status_429'
  | 'status_500'
  | 'status_503'
  | 'status_302'
  /** The connection breaks before an answer. */
  | 'closed'
  /** Answers nothing until it is closed. */
  | 'hang'
  | 'half_answer'
  | 'not_json'
  /** Valid JSON without data. */
  | 'odd_answer'
  /** More than 64 MiB. */
  | 'huge'
  | 'wrong_dimension'
  | 'missing_vector'
  /** Two vectors for one place. */
  | 'same_index'
  /** A number is null, as JSON writes NaN. */
  | 'null_number'
  | 'text_number'
  /** Larger than a float32. */
  | 'too_large_number'
  | 'zero'
  /** The answer names another model. */
  | 'other_model'

export interface OpenAiCall {
  readonly path: string
  readonly authorization: string | undefined
  readonly traceparent: string | string[] | undefined
  readonly body: { readonly model: string; readonly input: readonly string[] }
}

/** How it is until it is told otherwise. */
export interface OpenAiMood {
  /** Connections break before an answer. */
  isDown: boolean
  /** Requests with a text that has this in it are refused with 400. */
  poison: string | null
  /** What it calls its model; null calls it as it was asked. */
  model: string | null
  dimension: number
  vectorOf: (text: string, dimension: number) => number[]
}

export interface OpenAiServer {
  readonly url: string
  readonly calls: readonly OpenAiCall[]
  readonly mood: OpenAiMood
  /** Goes wrong at the next `times` requests. */
  arm(fault: OpenAiFault, times: number, headers?: Readonly<Record<string, string>>): void
  /** Answers 500 to each request with this text, as llama.cpp does to one that is too long. */
  stumbleOver(text: string): void
  /** Resolves when it has been asked `count` times in all. */
  asked(count: number): Promise<void>
  /** Resolves when it has been asked for this very text. */
  askedFor(text: string): Promise<void>
  /** Requests from now on wait for `release`, and are answered as it is then. */
  hold(): void
  release(): void
  close(): Promise<void>
}

const DIMENSION = 48
const HUGE_BYTES = 64 * 1024 * 1024

/** @param options `key`: without it, no key is asked for. */
export async function startOpenAi(options: { readonly key?: string } = {}): Promise<OpenAiServer> {
  const calls: OpenAiCall[] = []
  const faults: { readonly fault: OpenAiFault; readonly headers: Record<string, string> }[] = []
  const watchers = new Set<() => void>()
  const mood: OpenAiMood = {
    ...{ isDown: false, poison: null, model: null, dimension: DIMENSION, vectorOf },
  }
  let held: PromiseWithResolvers<null> | null = null

  async function until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      await new Promise<void>((resolve) => {
        watchers.add(resolve)
      })
    }
  }

  function release(): void {
    held?.resolve(null)
    held = null
  }
  const stumbles = new Set<string>()

  async function serve(request: IncomingMessage, reply: ServerResponse): Promise<void> {
    const { authorization, traceparent } = request.headers
    const raw = await readText(request).catch(() => '')
    // Its client was killed while it asked.
    if (raw === '') return
    const body = JSON.parse(raw) as OpenAiCall['body']
    calls.push({ path: request.url ?? '', authorization, traceparent, body })
    for (const watcher of watchers) watcher()
    watchers.clear()
    await held?.promise
    const { fault, headers } = faults.shift() ?? { fault: null, headers: {} }
    for (const [name, value] of Object.entries(headers)) reply.setHeader(name, value)
    if (!isAllowed(authorization)) {
      send(reply, 401, { error: { message: 'Incorrect API key provided.' } })
    } else if (body.input.some((text) => stumbles.has(text))) {
      send(reply, 500, { error: { message: 'too large to process' } })
    } else {
      answer(reply, body, { fault: fault ?? faultOf(body, mood), mood })
    }
  }

  function isAllowed(authorization: string | undefined): boolean {
    return options.key === undefined || authorization === `Bearer ${options.key}`
  }

  const http = createServer((request, reply) => {
    void serve(request, reply)
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const address = http.address()
  if (address === null || typeof address === 'string') throw new Error('it listens on no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    calls,
    arm: (fault, times, headers = {}) => {
      for (let i = 0; i < times; i += 1) faults.push({ fault, headers })
    },
    stumbleOver: (text) => {
      stumbles.add(text)
    },
    mood,
    asked: (count) => until(() => calls.length >= count),
    askedFor: (text) => until(() => calls.some(({ body }) => body.input.includes(text))),
    hold: () => {
      held ??= Promise.withResolvers()
    },
    release,
    close: async () => {
      release()
      http.closeAllConnections()
      await new Promise((resolve) => http.close(resolve))
    },
  }
}

function faultOf(
  { input }: OpenAiCall['body'],
  { isDown, poison }: OpenAiMood,
): OpenAiFault | null {
  if (isDown) return 'closed'
  return poison !== null && input.some((text) => text.includes(poison)) ? 'status_400' : null
}

interface Answering {
  readonly fault: OpenAiFault | null
  readonly mood: OpenAiMood
}

function answer(reply: ServerResponse, body: OpenAiCall['body'], how: Answering): void {
  if (how.fault !== null && breaks(reply, how.fault)) return
  send(reply, 200, { object: 'list', ...answerOf(body, how) })
}

function answerOf({ model: asked, input }: OpenAiCall['body'], { fault, mood }: Answering): object {
  const model = mood.model ?? asked
  const dimension = mood.dimension - (fault === 'wrong_dimension' ? 1 : 0)
  const data = input.map((text, index) => {
    return { index, embedding: spoiled(mood.vectorOf(text, dimension), fault) }
  })
  if (fault === 'missing_vector') data.pop()
  if (fault === 'same_index') for (const entry of data) entry.index = 0
  return { model: fault === 'other_model' ? `${model}-2` : model, data: data.reverse() }
}

function spoiled(vector: number[], fault: OpenAiFault | null): unknown[] {
  switch (fault) {
    case 'null_number':
      return vector.with(3, NaN)
    case 'text_number':
      return ['0.5', ...vector.slice(1)]
    case 'too_large_number':
      return vector.with(3, 1e300)
    case 'zero':
      return vector.fill(0)
    default:
      return vector
  }
}

/** True where the fault was the answer. */
function breaks(reply: ServerResponse, fault: OpenAiFault): boolean {
  const status = /^status_(\d+)$/.exec(fault)?.[1]
  if (status !== undefined) send(reply, Number(status), { error: { message: 'told to' } })
  else if (fault === 'closed') reply.destroy()
  else if (fault === 'not_json') reply.end('<html>It works!</html>')
  else if (fault === 'odd_answer') send(reply, 200, { data: {} })
  else if (fault === 'huge') reply.end(`{"a":"${'x'.repeat(HUGE_BYTES)}"}`)
  else if (fault === 'half_answer') {
    reply.writeHead(200, { 'content-length': 100 })
    reply.write('{"data":[', () => reply.destroy())
  } else return fault === 'hang'
  return true
}

function send(reply: ServerResponse, status: number, answer: object): void {
  reply.writeHead(status, { 'content-type': 'application/json' })
  reply.end(JSON.stringify(answer))
}
