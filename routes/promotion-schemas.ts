/**
 * The shapes of `routes/promotions.ts`: entries, changes, documents, lists, the audit.
 */

import { Type, type Static } from '@fastify/type-provider-typebox'
import { HNSW_BOUNDS } from '../src/domain/hnsw-config.ts'
import { Name, Nullable } from '../src/http/schemas.ts'
import { changeToJson, entryToJson } from '../src/promotions/promotion-codec.ts'
import {
  CHANGE_KINDS,
  PROMOTION_ENTRIES_MAX,
  REBUILDS,
} from '../src/promotions/promotion-document.ts'
import type { PastPromotion } from '../src/promotions/promotion-file.ts'

const STRICT = { additionalProperties: false } as const
const NOTE_CHARS_MAX = 1024

/** The id of a trial, or a name. */
export const Word = Type.String({ minLength: 1, maxLength: 128 })

export const Note = Type.String({ maxLength: NOTE_CHARS_MAX })

export const RebuildWord = Type.Enum([...REBUILDS], {
  default: 'now',
  description: 'Build the graph at once, or leave it to the next build.',
})

export const PinnedBody = Type.Object({ pinned: Type.Boolean(), note: Type.Optional(Note) }, STRICT)

const integerIn = ([minimum, maximum]: readonly [number, number]): ReturnType<
  typeof Type.Integer
> => Type.Integer({ minimum, maximum })

const EntryJson = Type.Object(
  {
    config: Type.Object(
      {
        m: integerIn(HNSW_BOUNDS.m),
        ef_construction: integerIn(HNSW_BOUNDS.efConstruction),
        ef_search: Nullable(integerIn(HNSW_BOUNDS.efSearch)),
        seed: integerIn(HNSW_BOUNDS.seed),
      },
      STRICT,
    ),
    trial_id: Type.String(),
    promoted_at: Type.String(),
    promoted_by: Type.String(),
    note: Nullable(Type.String()),
    graph_id: Type.Optional(Type.String()),
    evidence: Type.Optional(
      Type.Object({}, { additionalProperties: true, description: 'What the decision rests on.' }),
    ),
    pinned: Type.Optional(Type.Boolean({ description: 'The agent may not replace it.' })),
  },
  STRICT,
)

const ChangeJson = Type.Object(
  {
    kind: Type.Enum([...CHANGE_KINDS]),
    by: Type.String(),
    at: Type.String(),
    note: Nullable(Type.String()),
    rebuild: Type.Enum([...REBUILDS]),
    discarded: Type.Optional(EntryJson),
  },
  STRICT,
)

const entries = (description: string): ReturnType<typeof Type.Array<typeof EntryJson>> =>
  Type.Array(EntryJson, { maxItems: PROMOTION_ENTRIES_MAX, description })

const Promoted = {
  format: Type.Integer(),
  index_name: Name,
  current: Nullable(EntryJson),
  history: entries('What was current before, oldest first.'),
  redo: entries('What rollbacks undid; a roll-forward takes the last.'),
  change: Nullable(ChangeJson),
  revision: Type.Integer({ minimum: 0, description: '0 before the first promotion.' }),
}

export const PromotedJson = Type.Object(Promoted, STRICT)

export const ChangedJson = Type.Object(
  {
    ...Promoted,
    warnings: Type.Array(Type.String()),
    operation_id: Nullable(Type.String({ description: 'Of the build that follows.' })),
  },
  STRICT,
)

export const PromotedListJson = Type.Object(
  {
    promoted: Type.Array(
      Type.Object(
        {
          ...Promoted,
          bucket: Name,
          in_home: Type.Boolean({
            description: 'False where the index lives in another bucket: then not in force.',
          }),
        },
        STRICT,
      ),
    ),
    errors: Type.Array(
      Type.Object(
        {
          bucket: Name,
          index_name: Nullable(Type.String()),
          code: Type.String(),
          message: Type.String(),
        },
        STRICT,
      ),
      { description: 'Buckets and objects that could not be read.' },
    ),
  },
  STRICT,
)

const AuditEntryJson = Type.Object(
  {
    revision: Type.Integer({ minimum: 1 }),
    kind: Type.Enum([...CHANGE_KINDS, 'take_over', 'remove', 'unreadable']),
    at: Nullable(Type.String()),
    by: Nullable(Type.String()),
    note: Nullable(Type.String()),
    rebuild: Nullable(Type.Enum([...REBUILDS])),
    current: Nullable(EntryJson),
    discarded: Type.Optional(EntryJson),
    error: Nullable(Type.Object({ code: Type.String(), message: Type.String() }, STRICT)),
  },
  { ...STRICT, description: '`current` is what the change made current.' },
)

export const AuditJson = Type.Object(
  { entries: Type.Array(AuditEntryJson), next_cursor: Nullable(Type.String()) },
  STRICT,
)

export function auditEntryJson(past: PastPromotion): Static<typeof AuditEntryJson> {
  const { revision } = past
  const nothing = { note: null, rebuild: null, current: null, error: null }
  if (past.kind === 'unreadable') {
    const { code, message } = past.fault
    return {
      revision,
      ...nothing,
      kind: 'unreadable',
      at: null,
      by: null,
      error: { code, message },
    }
  }
  const written = { at: new Date(past.writtenMs).toISOString(), by: past.author }
  if (past.kind === 'removed') return { revision, kind: 'remove', ...written, ...nothing }
  const { current: entry, change } = past.document
  const current = entry === null ? null : entryToJson(entry)
  if (change === null) return { revision, kind: 'take_over', ...written, ...nothing, current }
  return { revision, ...changeToJson(change), current, error: null }
}
