/**
 * Every configuration key, in one table: what it is called, what it may be, and what it does.
 *
 * The table is the only list: the loader, the types of `Config`, the environment names and the
 * annotated `lakehouse.toml` all come from it. Names end in their unit or in the bound they are.
 */

import { AGENT_KEYS } from './agent-keys.ts'
import { bucketKeys } from './bucket-keys.ts'
import { EMBEDDERS_KEYS, OLLAMA_KEYS, OPENAI_KEYS } from './embedder-keys.ts'
import { INGEST_KEYS } from './ingest-keys.ts'
import {
  bool,
  choice,
  int,
  number,
  path,
  text,
  texts,
  type BoolKey,
  type ChoiceKey,
  type IntKey,
  type Key,
  type NumberKey,
  type TextsKey,
} from './key-kinds.ts'
import { LANCE_KEYS } from './lance-keys.ts'
import { PROJECTION_KEYS } from './projection-keys.ts'
import { TRACING_KEYS } from './tracing-keys.ts'

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB
const HOUR_MS = 3_600_000

export const SCHEMA = {
  server: {
    host: text('127.0.0.1', {
      pattern: /^[A-Za-z0-9.:_-]{1,253}$/,
      form: 'an address or a host name',
      effect: 'Address to listen on; one that is not loopback needs [auth] keys.',
    }),
    port: int(8600, [0, 65_535], 'port', 'Port to listen on; 0 takes a free one and logs it.'),
    body_bytes_max: int(
      32 * MIB,
      [KIB, GIB],
      'bytes',
      'Largest request body; a larger one is answered 413.',
    ),
    request_timeout_ms: int(
      30_000,
      [100, HOUR_MS],
      'ms',
      'Deadline of a request that names none; past it the answer is 504.',
    ),
    drain_timeout_ms: int(
      30_000,
      [0, HOUR_MS],
      'ms',
      'At shutdown, how long requests under way and the last checkpoints may take.',
    ),
    rate_limit_per_minute: int(
      0,
      [0, 1_000_000_000],
      'requests',
      'Requests a minute for each key, or address without keys; 0 sets no limit.',
    ),
    shed_event_loop_delay_ms: int(
      1000,
      [0, 60_000],
      'ms',
      'Delay of the event loop above which requests are answered 503; 0 never sheds.',
    ),
  },
  storage: {
    root: path(
      './data',
      'Folder of the local primary bucket, of logs and of caches; one server at a time holds it.',
    ),
    profile_root: path(
      '',
      'Folder of the buckets that activated profiles name and nobody registered; empty means the' +
        ' folder "profiles" within root.',
    ),
  },
  primary: bucketKeys('the primary bucket'),
  rescue: {
    enabled: bool(false, 'Whether reads fall back to the rescue bucket when a home bucket fails.'),
    ...bucketKeys('the rescue bucket'),
  },
  buckets: {
    health_interval_ms: int(
      30_000,
      [1000, HOUR_MS],
      'ms',
      'How often each bucket is asked whether it can be reached.',
    ),
  },
  auth: {
    keys: texts([], {
      pattern: /^[A-Za-z0-9_-]{1,128}:(read|write|admin):[0-9a-f]{64}(:[A-Za-z0-9_|-]+)?$/,
      form: '"name:role:sha256" or "name:role:sha256:prefix|prefix"',
      effect:
        'API keys: a name, a role (read, write or admin), the SHA-256 of the key in hex, and' +
        ' optionally the prefixes of the names that it may touch.',
    }),
  },
  log: {
    segment_bytes: int(
      64 * MIB,
      [64 * KIB, 4 * GIB],
      'bytes',
      'Size at which a local write-ahead log goes on in a new file.',
    ),
    group_bytes_max: int(
      8 * MIB,
      [64 * KIB, 256 * MIB],
      'bytes',
      'Writes that wait are made durable together, up to this size; one write always goes whole.',
    ),
  },
  checkpoint: {
    interval_ms: int(
      300_000,
      [1000, 24 * HOUR_MS],
      'ms',
      'How often an index that was written to is checkpointed.',
    ),
    log_bytes: int(
      256 * MIB,
      [64 * KIB, 1024 * GIB],
      'bytes',
      'Size of the log at which an index is checkpointed at once; bounds the replay at start.',
    ),
    keep: int(2, [1, 100], 'checkpoints', 'Checkpoints kept; older ones are removed.'),
  },
  compaction: {
    interval_s: int(
      600,
      [1, 24 * 3600],
      's',
      'How often it is looked which indexes have to be freed of dead points.',
    ),
    ratio: number(
      0.2,
      [0.01, 1],
      'share of what is held',
      'Share of the rows or of the graph that is dead from which on an index is compacted.',
    ),
    per_cycle_max: int(
      4,
      [0, 1000],
      'indexes',
      'Indexes that are compacted at one look, one after the other; 0 leaves it to requests.',
    ),
  },
  builders: {
    max: int(
      1,
      [1, 16],
      'processes',
      'Processes at the same time that build and measure graphs beside serving; each holds the' +
        ' points of one index.',
    ),
    idle_ms: int(
      60_000,
      [0, HOUR_MS],
      'ms',
      'How long a builder without work keeps its points before it ends.',
    ),
    niceness: int(
      10,
      [0, 19],
      'steps',
      'How far builders give way to searches and writes on a busy machine; 19 the most.',
    ),
  },
  generations: {
    keep: int(
      2,
      [0, 16],
      'generations',
      'Older graphs of each index whose files are kept, so that a rollback need not build them.',
    ),
    cache_bytes: int(
      2 * GIB,
      [0, 1024 * GIB],
      'bytes',
      'Files of graphs that trials have built, kept for each index; the oldest go first.',
    ),
  },
  drops: {
    queue_max: int(
      256,
      [1, 100_000],
      'things',
      'Things with old versions that may wait to be dropped; past it, who makes more waits.',
    ),
    batch_max: int(100, [1, 100_000], 'things', 'Drops that start together at once.'),
    batch_ms: int(
      50,
      [0, HOUR_MS],
      'ms',
      'How long fewer wait for more: requests for one thing become one.',
    ),
    slice_deletes: int(
      64,
      [1, 100_000],
      'objects',
      'Objects that are deleted between two pauses, so that searches and writes go first.',
    ),
    tick_ms: int(10, [1, HOUR_MS], 'ms', 'Length of such a pause.'),
  },
  dataplane: {
    cores: int(
      0,
      [0, 256],
      'processes',
      'Processes that hold and search graphs; 0 means one less than the CPUs, at least 1.',
    ),
    queue_max: int(
      1024,
      [16, 1_000_000],
      'requests',
      'Requests that may wait for one core; at 95 % of it new ones are answered 429.',
    ),
    turn_requests: int(
      256,
      [1, 100_000],
      'requests',
      'Requests a core answers before background work gets its turn.',
    ),
    slice_ms: int(
      4,
      [1, 1000],
      'ms',
      'Longest turn of graph building between two searches on a core.',
    ),
    delta_points_max: int(
      10_000,
      [1, 10_000_000],
      'points',
      'Points of a shard that may wait for the graph; past it writers are answered 429.',
    ),
    memory_bytes_max: int(
      0,
      [0, 1024 * 1024 * GIB],
      'bytes',
      'Memory of all processes past which new points are answered 507; 0 means 80 % of what the' +
        ' machine or the control group of the process has.',
    ),
    degrade_failures: int(
      3,
      [1, 1000],
      'failures',
      'Failures within the window after which a core is degraded and answers 503.',
    ),
    degrade_window_ms: int(60_000, [100, HOUR_MS], 'ms', 'The window in which they are counted.'),
    degrade_cooldown_ms: int(30_000, [100, HOUR_MS], 'ms', 'How long a core stays degraded.'),
  },
  search: {
    deadline_ms: int(
      10_000,
      [1, HOUR_MS],
      'ms',
      'Deadline of a search that names none; past it the answer is 504.',
    ),
    flat_threshold: int(
      2000,
      [0, 1_000_000],
      'points',
      'Up to this many candidates are compared one by one instead of walking the graph.',
    ),
  },
  recall: {
    goal: number(
      0.95,
      [0.5, 0.999],
      'share of the neighbours',
      'Recall that searches are measured against where the mode of the agent is off; else its min_recall.',
    ),
    sample_cpu_share: number(
      0.02,
      [0, 1],
      'share of one CPU',
      'CPU time that may go into running searches again exactly, to measure recall; 0 measures none.',
    ),
    max_sample_rate: number(
      0.01,
      [0, 1],
      'share of the searches',
      'Largest share of the searches that is run again; the CPU share may allow less.',
    ),
    ef_max: int(
      1024,
      [16, 10_000],
      'candidates',
      'Largest ef that may be chosen to hold the goal; one that is asked for or configured may be' +
        ' larger.',
    ),
    keep_queries: bool(
      false,
      'Whether up to 2000 of the queries asked of each index are kept in memory, so that eval sets' +
        ' are made of what clients ask.',
    ),
    round_interval_ms: int(
      60_000,
      [100, HOUR_MS],
      'ms',
      'How often it is decided whether another ef is needed.',
    ),
  },
  agent: AGENT_KEYS,
  lance: LANCE_KEYS,
  embedders: EMBEDDERS_KEYS,
  'embedders.ollama': OLLAMA_KEYS,
  'embedders.openai': OPENAI_KEYS,
  projection: PROJECTION_KEYS,
  ingest: INGEST_KEYS,
  limits: {
    rows_per_request: int(10_000, [1, 1_000_000], 'points', 'Most points in one write.'),
    k_max: int(1000, [1, 100_000], 'results', 'Largest k of a search.'),
    dimension_max: int(8192, [1, 65_536], 'numbers', 'Largest dimension of an index.'),
    id_bytes_max: int(512, [1, 4096], 'bytes', 'Longest id of a point, in UTF-8.'),
    metadata_bytes_max: int(
      40 * KIB,
      [2, 16 * MIB],
      'bytes',
      'Largest metadata of a point, as JSON.',
    ),
    indexes_max: int(1000, [1, 100_000], 'indexes', 'Most indexes on this server.'),
  },
  logging: {
    level: choice(
      'info',
      ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
      'Least severe line that is logged.',
    ),
    pretty: choice(
      'auto',
      ['auto', 'always', 'never'],
      'Whether lines are for people and not JSON; auto means on a terminal.',
    ),
  },
  tracing: TRACING_KEYS,
} as const satisfies Readonly<Record<string, Readonly<Record<string, Key>>>>

type Schema = typeof SCHEMA

type Camel<Name extends string> = Name extends `${infer Head}_${infer Rest}`
  ? `${Head}${Capitalize<Camel<Rest>>}`
  : Name

type ValueOf<K> = K extends IntKey | NumberKey
  ? number
  : K extends BoolKey
    ? boolean
    : K extends TextsKey
      ? readonly string[]
      : K extends ChoiceKey<infer Choice>
        ? Choice
        : string

/** The configuration, checked and frozen: `config.server.bodyBytesMax`. Paths are absolute. */
export type Config = {
  readonly [S in keyof Schema]: {
    readonly [K in keyof Schema[S] as Camel<K & string>]: ValueOf<Schema[S][K]>
  }
}

/** A key with its place: what messages, environment names and the reference file are made of. */
export interface PlacedKey {
  readonly section: string
  readonly name: string
  readonly key: Key
}

/** Every key, in the order of the table. */
export const KEYS: readonly PlacedKey[] = Object.entries(SCHEMA).flatMap(([section, keys]) =>
  Object.entries(keys).map(([name, key]: [string, Key]) => ({ section, name, key })),
)

/** `VECTORD_SERVER_PORT` for `[server] port`; the dot of a section within another is a `_` too. */
export function environmentName(placed: PlacedKey): string {
  return `VECTORD_${placed.section.replace('.', '_')}_${placed.name}`.toUpperCase()
}

/** `body_bytes_max` on the wire and in files is `bodyBytesMax` inside. */
export function camelName(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
}
