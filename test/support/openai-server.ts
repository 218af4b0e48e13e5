/**
 * A server that speaks the embeddings protocol of OpenAI, and goes wrong as told.
 *
 *     const openai = await startOpenAi({ key: 'secret' })
 *     openai.arm('status_429', 1, { 'retry-after': '1' })
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
  readonly body: { readonly model: string; readonly input: readonly string[] }
}

export interface OpenAiServer {
  readonly url: string
  readonly calls: readonly OpenAiCall[]
  /** Goes wrong at the next `times` requests. */
  arm(fault: OpenAiFault, times: number, headers?: Readonly<Record<string, string>>): void
  /** Answers 500 to each request with this text, as llama.cpp does to one that is too long. */
  stumbleOver(text: string): void
  /** Resolves when it has been asked `count` times in all. */
  asked(count: number): Promise<void>
  close(): Promise<void>
}

const DIMENSION = 48
const HUGE_BYTES = 64 * 1024 * 1024

/** @param options `key`: without it, no key is asked for. */
export async function startOpenAi(options: { readonly key?: string } = {}): Promise<OpenAiServer> {
  const calls: OpenAiCall[] = []
  const faults: { readonly fault: OpenAiFault; readonly headers: Record<string, string> }[] = []
  const watchers = new Set<() => void>()
  const stumbles = new Set<string>()

  async function serve(request: IncomingMessage, reply: ServerResponse): Promise<void> {
    const { authorization } = request.headers
    const body = JSON.parse(await readText(request)) as OpenAiCall['body']
    calls.push({ path: request.url ?? '', authorization, body })
    for (const watcher of watchers) watcher()
    watchers.clear()
    const { fault, headers } = faults.shift() ?? { fault: null, headers: {} }
    for (const [name, value] of Object.entries(headers)) reply.setHeader(name, value)
    if (options.key !== undefined && authorization !== `Bearer ${options.key}`) {
      send(reply, 401, { error: { message: 'Incorrect API key provided.' } })
    } else if (body.input.some((text) => stumbles.has(text))) {
      send(reply, 500, { error: { message: 'too large to process' } })
    } else if (fault === null || !breaks(reply, fault)) {
      send(reply, 200, { object: 'list', ...answerOf(body, fault) })
    }
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
    asked: async (count) => {
      while (calls.length < count) {
        await new Promise<void>((resolve) => {
          watchers.add(resolve)
        })
      }
    },
    close: async () => {
      http.closeAllConnections()
      await new Promise((resolve) => http.close(resolve))
    },
  }
}

function answerOf({ model, input }: OpenAiCall['body'], fault: OpenAiFault | null): object {
  const dimension = DIMENSION - (fault === 'wrong_dimension' ? 1 : 0)
  const data = input.map((text, index) => {
    return { index, embedding: spoiled(vectorOf(text, dimension), fault) }
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
