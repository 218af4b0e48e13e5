/**
 * What does a search by meaning find that a search by words does not, and the other way round?
 *
 * WordNet's glosses go into an index with the built-in embedder, over HTTP, as texts without vectors;
 * when all are embedded, paraphrases are looked for in each mode. A paraphrase is found where a word
 * that a person expects is among the words of one of the first ten synsets. Their words are metadata:
 * the text is the gloss alone.
 *
 * `--rows N` takes the N most frequent synsets instead of all 117,791.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { ProgressBar } from './support/progress-bar.ts'
import { print, progress, type Row } from './support/report.ts'
import { BenchServer, withFolder } from './support/server.ts'
import { synsets, type Synset } from './support/wordnet.ts'

const INDEX = 'wordnet'
const PATH = `/vectors/indexes/${INDEX}`
const K = 10
const BATCH = 500
const MODES = ['vector', 'keyword', 'hybrid'] as const
const POLL_MS = 500
/** One drain; the next goes on. */
const DRAIN_MS = 60_000

/**
 * Written down before anything was measured, with the words that a person would take for an answer.
 * They are never changed to fit a result.
 */
const QUERIES: readonly (readonly [query: string, expected: readonly string[]])[] = [
  ['a person who writes poems', ['poet', 'poetess', 'versifier', 'poetizer']],
  ['animal that carries its young in a pouch', ['marsupial', 'pouched mammal', 'kangaroo']],
  ['place where planes take off and land', ['airport', 'airfield', 'landing field', 'runway']],
  ['doctor who operates on patients', ['surgeon', 'operating surgeon']],
  ['instrument for looking at the stars', ['telescope', 'scope', 'astronomical telescope']],
  ['fear of being in narrow spaces', ['claustrophobia']],
  ['someone who repairs pipes and toilets', ['plumber', 'pipe fitter']],
  ['frozen water falling from the sky in flakes', ['snow', 'snowfall', 'snowflake', 'flake']],
  ['to speak very softly', ['whisper', 'murmur']],
  ['very happy and excited', ['elated', 'ecstatic', 'overjoyed', 'jubilant', 'thrilled']],
  ['the meal you eat in the morning', ['breakfast']],
  ['building where books are kept and lent', ['library', 'depository library']],
  ['a vehicle that travels under water', ['submarine', 'submersible', 'bathyscaphe']],
  ['person who flies an aircraft', ['pilot', 'airplane pilot', 'aviator', 'flier', 'flyer']],
  ['to cook in hot fat', ['fry', 'deep-fry', 'saute', 'french-fry', 'pan-fry']],
  ['money given to a waiter for good service', ['tip', 'gratuity', 'pourboire']],
  ['without any sound', ['silent', 'soundless', 'noiseless', 'silently', 'noiselessly']],
  ['the brother of your father or mother', ['uncle']],
  ['sickness caused by travelling on a ship', ['seasickness', 'naupathia', 'motion sickness']],
  ['to make a hole with a tool that turns', ['drill', 'bore']],
]

const { values } = parseArgs({
  options: { json: { type: 'boolean', default: false }, rows: { type: 'string' } },
})
const rows = values.rows === undefined ? Infinity : Number(values.rows)
if (!(rows >= 1)) throw new Error('--rows must be a number of at least 1')
const glosses = synsets(rows)
const lemmas = new Map(glosses.map(({ id, lemmas: words }) => [id, words]))

await withFolder(async (root) => {
  const server = await BenchServer.start(root)
  try {
    await server.answersAfterMs('GET', '/readyz')
    const settings = { name: INDEX, metric: 'cosine', embedder: 'local' }
    await server.call('POST', '/vectors/indexes', settings)
    await server.answersAfterMs('GET', '/readyz')
    const loadS = await timed(() => load(server))
    const embedS = await timed(() => embed(server))
    report({ loadS, embedS, found: await ask(server) })
    await server.stop()
  } finally {
    await server.kill()
  }
})

async function timed(work: () => Promise<void>): Promise<number> {
  const startMs = performance.now()
  await work()
  return (performance.now() - startMs) / 1000
}

async function load(server: BenchServer): Promise<void> {
  const bar = new ProgressBar('load', glosses.length)
  for (let from = 0; from < glosses.length; from += BATCH) {
    const some = glosses.slice(from, from + BATCH)
    await patient(server, `${PATH}/points?ack=logged`, { points: some.map(pointOf) })
    bar.update(from + some.length)
  }
}

function pointOf({ id, lemmas: words, gloss }: Synset): object {
  return { id, text: gloss, metadata: { words, part: id.slice(0, 1) } }
}

/** Waits as long as the server asks for where it has too much to do. */
async function patient(server: BenchServer, path: string, body: object): Promise<void> {
  for (;;) {
    const reply = await fetch(new URL(path, server.url), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    const text = await reply.text()
    if (reply.ok) return
    if (reply.status !== 429) throw new Error(`${path}: ${reply.status} ${text}`)
    await sleep(1000 * Number(reply.headers.get('retry-after') ?? 1))
  }
}

interface Status {
  readonly indexes: readonly {
    readonly index: string
    readonly pending: { readonly writes: number; readonly backfill: number } | null
    readonly failed: number
  }[]
}

async function embed(server: BenchServer): Promise<void> {
  const bar = new ProgressBar('embed', glosses.length)
  const drain = { isOver: false }
  const drained = (async () => {
    while (!drain.isOver) {
      const body = { index: INDEX, deadline_ms: DRAIN_MS }
      const { outcome } = (await server.call('POST', '/vectors/projection/drain', body)) as {
        outcome: string
      }
      if (outcome === 'idle') return
      if (outcome !== 'deadline') throw new Error(`the embedder stopped: ${outcome}`)
    }
  })()
  const ended = drained.finally(() => {
    drain.isOver = true
  })
  while (!drain.isOver) {
    bar.update(glosses.length - (await pending(server)))
    await Promise.race([ended, sleep(POLL_MS)])
  }
  await ended
  const left = await pending(server)
  bar.update(glosses.length - left)
  if (left > 0) throw new Error(`${left} glosses could not be embedded`)
  progress('all glosses are searchable')
}

async function pending(server: BenchServer): Promise<number> {
  const { indexes } = (await server.call('GET', '/vectors/projection')) as Status
  const counts = indexes.find(({ index }) => index === INDEX)?.pending
  return counts === null || counts === undefined ? glosses.length : counts.writes + counts.backfill
}

interface Asked {
  readonly query: string
  readonly expected: readonly string[]
  /** Whether an expected word is among the loaded ones at all. */
  readonly isThere: boolean
  /** By mode: the place of the first expected word, and what was first instead. */
  readonly places: Readonly<Record<(typeof MODES)[number], number | null>>
  readonly firstByVector: string
}

async function ask(server: BenchServer): Promise<Asked[]> {
  const known = new Set([...lemmas.values()].flat())
  const asked: Asked[] = []
  for (const [query, expected] of QUERIES) {
    const found = new Map<string, readonly string[]>()
    for (const mode of MODES) found.set(mode, await search(server, query, mode))
    const placeIn = (mode: string): number | null => {
      const place = (found.get(mode) ?? []).findIndex((id) =>
        (lemmas.get(id) ?? []).some((word) => expected.includes(word)),
      )
      return place === -1 ? null : place + 1
    }
    const [vector, keyword, hybrid] = [placeIn('vector'), placeIn('keyword'), placeIn('hybrid')]
    asked.push({
      ...{ query, expected, places: { vector, keyword, hybrid } },
      isThere: expected.some((word) => known.has(word)),
      firstByVector: (lemmas.get(found.get('vector')?.[0] ?? '') ?? []).join(', '),
    })
  }
  return asked
}

async function search(server: BenchServer, text: string, mode: string): Promise<string[]> {
  const body = { text, mode, k: K }
  const { results } = (await server.call('POST', `${PATH}/search`, body)) as {
    results: { id: string }[]
  }
  return results.map(({ id }) => id)
}

interface Measured {
  readonly loadS: number
  readonly embedS: number
  readonly found: readonly Asked[]
}

function report({ loadS, embedS, found }: Measured): void {
  const there = found.filter(({ isThere }) => isThere)
  print(
    {
      bench: 'wordnet',
      parameters: {
        ...{ glosses: glosses.length, embedder: 'local', metric: 'cosine', k: K },
        ...{ queries: found.length, queries_with_an_answer_in_the_index: there.length },
      },
      tables: {
        'texts a second': [
          { step: 'written (durable)', seconds: loadS, texts_per_s: glosses.length / loadS },
          { step: 'embedded', seconds: embedS, texts_per_s: glosses.length / embedS },
        ],
        'place of the first expected word (- : not among the first ten)': found.map(queryRow),
        'found among the first ten': MODES.map((mode) => modeRow(mode, there)),
      },
      targets: [],
      notes: [
        'queries and expected words were fixed before the first run',
        'rates are over queries whose answer is among the loaded glosses',
      ],
    },
    { json: values.json, quick: false, s3: false, profile: null },
  )
}

function queryRow({ query, expected, isThere, places, firstByVector }: Asked): Row {
  const [word = ''] = expected
  return {
    query,
    expected: isThere ? word : `${word} (not loaded)`,
    ...places,
    first_by_vector: firstByVector,
  }
}

function modeRow(mode: (typeof MODES)[number], asked: readonly Asked[]): Row {
  const places = asked.map(({ places: all }) => all[mode])
  const hits = places.filter((place) => place !== null)
  const reciprocal = hits.reduce((sum, place) => sum + 1 / place, 0)
  const n = Math.max(1, asked.length)
  return { mode, found: hits.length, of: asked.length, rate: hits.length / n, mrr: reciprocal / n }
}
