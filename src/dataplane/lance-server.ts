/**
 * What the Lance core does with a request. Reads of a bucket run a few at a time, on LanceDB's own
 * threads: each holds the rows that it compares, and those that a bucket does not answer keep nobody
 * from the others. Tables put their writes into turns themselves.
 */

import type { LanceIndexKind, LanceTableSpec } from '../domain/lance-table.ts'
import { VectordError } from '../lib/errors.ts'
import type { LanceDataset } from '../engines/lance/lance-dataset.ts'
import type { LanceEngine } from '../engines/lance/lance-engine.ts'
import { bucketPlaceOf } from '../engines/lance/lance-storage.ts'
import { BodyReader } from './body-reader.ts'
import { toWireError } from './error-codec.ts'
import type { FrameChannel } from './frame-channel.ts'
import { FRAME, type Frame } from './frame.ts'
import type { FrameWriter } from './frame-writer.ts'
import {
  readLanceFetch,
  readLanceHead,
  readLanceScroll,
  readLanceSearch,
  readRows,
  writeLanceAnswer,
  writeLancePage,
  writeLancePoints,
  writeLanceSample,
  type LanceVerb,
} from './lance-codec.ts'
import { ReadSlots } from './read-slots.ts'
import { readJson, writeJson } from './shard-codec.ts'

/** Of one bucket: enough to keep the processors busy while some wait for it. */
const READS_MAX = 16

const READS: ReadonlySet<LanceVerb> = new Set([
  'search',
  'fetch',
  'scroll',
  'count',
  'sample',
  'repeated',
  'versions',
  'stats',
])

/** Writes the body of an answer. */
type Reply = (writer: FrameWriter) => void

export class LanceServer {
  readonly #channel: FrameChannel
  readonly #engine: LanceEngine
  /** Specs as they came, so that one that comes again is not parsed again. */
  readonly #specs = new Map<string, LanceTableSpec>()
  /** By bucket. */
  readonly #slots = new Map<string, ReadSlots>()
  #waiting = 0

  constructor(channel: FrameChannel, engine: LanceEngine) {
    this.#channel = channel
    this.#engine = engine
  }

  /** Requests that are under way. */
  get waiting(): number {
    return this.#waiting
  }

  receive(frame: Frame): void {
    this.#waiting += 1
    void this.#serve(frame)
  }

  async #serve(frame: Frame): Promise<void> {
    try {
      const reply = await this.#answer(frame)
      this.#write(frame.id, FRAME.answer, reply)
    } catch (error) {
      const wire = toWireError(error, `lance-${frame.id}`)
      this.#write(frame.id, FRAME.failure, (writer) => writeJson(writer, wire))
    } finally {
      this.#waiting -= 1
    }
  }

  async #answer({ type, body, deadlineMs }: Frame): Promise<Reply> {
    if (type !== FRAME.lance) throw new TypeError(`frame type ${type} is for a Lance core`)
    const reader = new BodyReader(body)
    const { verb, spec: json } = readLanceHead(reader)
    const spec = this.#specOf(json)
    const table = this.#engine.table(spec)
    const work = async (): Promise<Reply> => {
      if (deadlineMs < Date.now()) {
        throw new VectordError('deadline_exceeded', 'The deadline passed in the queue.')
      }
      return answerTo(verb, table, { reader, deadlineMs })
    }
    return READS.has(verb) ? this.#slotsOf(spec).run(work) : work()
  }

  #slotsOf(spec: LanceTableSpec): ReadSlots {
    const place = bucketPlaceOf(spec)
    const known = this.#slots.get(place)
    if (known !== undefined) return known
    const slots = new ReadSlots(READS_MAX)
    this.#slots.set(place, slots)
    return slots
  }

  #specOf(json: string): LanceTableSpec {
    const known = this.#specs.get(json)
    if (known !== undefined) return known
    if (this.#specs.size >= SPECS_MAX) this.#specs.clear()
    const spec = JSON.parse(json) as LanceTableSpec
    this.#specs.set(json, spec)
    return spec
  }

  #write(id: number, type: typeof FRAME.answer | typeof FRAME.failure, reply: Reply): void {
    const { writer } = this.#channel
    writer.begin({ type, id, flags: 0, shard: 0, deadlineMs: Infinity })
    try {
      reply(writer)
      writer.end()
    } catch (error) {
      // Such as one that is too long: the failure in its place is short.
      writer.rollback()
      const wire = toWireError(error, `lance-${id}`)
      writer.begin({ type: FRAME.failure, id, flags: 0, shard: 0, deadlineMs: Infinity })
      writeJson(writer, wire)
      writer.end()
    }
    this.#channel.flushSoon()
  }
}

/** Specs that are kept parsed; one more, and all are parsed again. */
const SPECS_MAX = 1024

interface Asked {
  readonly reader: BodyReader
  readonly deadlineMs: number
}

async function answerTo(verb: LanceVerb, table: LanceDataset, asked: Asked): Promise<Reply> {
  const { reader, deadlineMs } = asked
  const bounds = { deadlineMs }
  switch (verb) {
    case 'upsert':
    case 'append': {
      const { version } = await table[verb](readRows(reader))
      return (writer) => writer.f64(version)
    }
    case 'search': {
      const answer = await table.search(readLanceSearch(reader), bounds)
      return (writer) => writeLanceAnswer(writer, answer)
    }
    case 'fetch': {
      const { ids, include, asOf } = readLanceFetch(reader)
      const points = await table.fetch(ids, include, asOf, bounds)
      return (writer) => writeLancePoints(writer, points)
    }
    case 'scroll': {
      const page = await table.scroll(readLanceScroll(reader), bounds)
      return (writer) => writeLancePage(writer, page)
    }
    case 'sample': {
      const { rows, seed } = readJson(reader.rest()) as { rows: number; seed: number }
      const sample = await table.sample(rows, seed, bounds)
      return (writer) => writeLanceSample(writer, sample)
    }
    default: {
      const question = readJson(reader.rest()) as RareQuestion | null
      const answer = await RARE[verb](table, question ?? {}, bounds)
      return (writer) => writeJson(writer, answer ?? null)
    }
  }
}

/** Each verb sends the fields that it takes. */
interface RareQuestion {
  readonly ids?: readonly string[]
  readonly filter?: string | null
  readonly kind?: LanceIndexKind
  readonly olderThanMs?: number
}

/** Verbs whose question and answer are JSON. */
type RareVerb = Exclude<LanceVerb, 'upsert' | 'append' | 'search' | 'fetch' | 'scroll' | 'sample'>

type Rare = (
  table: LanceDataset,
  question: RareQuestion,
  bounds: { readonly deadlineMs: number },
) => Promise<unknown>

const RARE: Readonly<Record<RareVerb, Rare>> = {
  create: (table) => table.create(),
  drop: (table) => table.drop(),
  delete: (table, { ids = [] }) => table.delete(ids),
  deleteMatching: (table, { filter }) => table.deleteMatching(filter ?? ''),
  count: (table, { filter = null }, bounds) => table.count(filter, bounds),
  repeated: (table, _, bounds) => table.repeated(bounds),
  buildIndex: (table, { kind = 'ivf_pq' }) => table.buildIndex(kind),
  buildScalarIndex: (table) => table.buildScalarIndex(),
  // JSON has no Infinity: null is one.
  optimize: (table, { olderThanMs }) => table.optimize(olderThanMs ?? Infinity),
  versions: (table) => table.versions(),
  stats: (table) => table.stats(),
}
