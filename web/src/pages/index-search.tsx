/** A search by hand: its results, how it was answered, and the exact answer beside it. */

import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { call } from '../api/client.ts'
import type { Found, Hit, IndexInfo } from '../api/types.ts'
import { amount, milliseconds, share } from '../format.ts'
import { Badge, Card, Facts, Fault } from '../ui/basics.tsx'
import { Field, textOf } from '../ui/dialog.tsx'

type Kind = 'text' | 'vector' | 'id'

interface Outcome {
  readonly found: Found
  /** Null where it was not asked for. */
  readonly exact: Found | null
}

export function IndexSearch({ info }: { info: IndexInfo }): JSX.Element {
  const hasEmbedder = info.embedder !== null && info.embedder !== undefined
  const [kind, setKind] = useState<Kind>(hasEmbedder ? 'text' : 'vector')
  const [outcome, setOutcome] = useState<Outcome | null>(null)
  const [error, setError] = useState<unknown>(null)
  const [isBusy, setBusy] = useState(false)

  const search = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault()
    if (!(event.target instanceof HTMLFormElement)) return
    setBusy(true)
    setError(null)
    try {
      const form = new FormData(event.target)
      setOutcome(await run(info.name, bodyOf(form, kind), form.get('exact') !== null))
    } catch (fault) {
      setError(fault)
    }
    setBusy(false)
  }
  return (
    <>
      <Card title="Search">
        <form class="stack" onSubmit={(event) => void search(event)}>
          <fieldset class="row">
            <legend class="unseen">Search by</legend>
            {(['vector', 'text', 'id'] as const).map((one) => (
              <label class="check" key={one}>
                <input
                  type="radio"
                  name="kind"
                  checked={kind === one}
                  onChange={() => setKind(one)}
                />
                {{ vector: 'Vector', text: 'Text', id: 'Id of a point' }[one]}
              </label>
            ))}
          </fieldset>
          <Target kind={kind} info={info} hasEmbedder={hasEmbedder} />
          <Options kind={kind} hasEmbedder={hasEmbedder} />
          <div class="row">
            <button type="submit" class="primary" disabled={isBusy}>
              {isBusy ? 'Searching…' : 'Search'}
            </button>
            <label class="check">
              <input type="checkbox" name="exact" defaultChecked />
              The exact answer beside it
            </label>
          </div>
        </form>
      </Card>
      <div aria-live="polite" class="stack">
        <Fault error={error} what="The search failed." />
        {outcome !== null && <Results outcome={outcome} />}
      </div>
    </>
  )
}

interface TargetProps {
  readonly kind: Kind
  readonly info: IndexInfo
  readonly hasEmbedder: boolean
}

function Target({ kind, info, hasEmbedder }: TargetProps): JSX.Element {
  if (kind === 'vector') {
    return (
      <Field label={`Vector: ${info.dimension} numbers`}>
        <textarea
          class="mono"
          name="vector"
          required
          placeholder="0.12, -0.4, …"
          spellcheck={false}
        />
      </Field>
    )
  }
  if (kind === 'id') {
    return (
      <Field label="Id of a stored point">
        <input name="id" required spellcheck={false} />
      </Field>
    )
  }
  return (
    <Field label={hasEmbedder ? 'Text' : 'Words (the index has no embedder: by keywords)'}>
      <input name="text" required />
    </Field>
  )
}

function Options({ kind, hasEmbedder }: { kind: Kind; hasEmbedder: boolean }): JSX.Element {
  return (
    <div class="fields">
      <Field label="Results (k)">
        <input name="k" type="number" min={1} max={1000} defaultValue="10" />
      </Field>
      <Field label="ef (empty: as configured)">
        <input name="ef" type="number" min={1} max={10_000} />
      </Field>
      {kind === 'text' && hasEmbedder && (
        <Field label="Mode">
          <select name="mode">
            <option value="vector">by meaning</option>
            <option value="keyword">by words</option>
            <option value="hybrid">both</option>
          </select>
        </Field>
      )}
      <Field label="Filter on metadata (JSON)">
        <input class="mono" name="filter" placeholder='{"year":{"$gte":2020}}' spellcheck={false} />
      </Field>
    </div>
  )
}

/** @throws {Error} that says which field cannot be read. */
function bodyOf(form: FormData, kind: Kind): Record<string, unknown> {
  const [ef, filter, mode] = [textOf(form, 'ef'), textOf(form, 'filter'), textOf(form, 'mode')]
  return {
    ...(kind === 'vector' && { vector: vectorOf(textOf(form, 'vector')) }),
    ...(kind === 'id' && { id: textOf(form, 'id') }),
    ...(kind === 'text' && { text: textOf(form, 'text') }),
    k: Number(textOf(form, 'k')) || 10,
    include: ['metadata', 'text'],
    ...(ef !== '' && { ef: Number(ef) }),
    ...(mode !== '' && { mode }),
    ...(filter !== '' && { filter: filterOf(filter) }),
  }
}

function vectorOf(text: string): number[] {
  const numbers = text
    .replaceAll(/[[\]]/g, ' ')
    .split(/[\s,;]+/)
    .filter((word) => word !== '')
    .map(Number)
  const bad = numbers.findIndex((number) => !Number.isFinite(number))
  if (bad >= 0) throw new Error(`Number ${bad + 1} of the vector cannot be read.`)
  return numbers
}

function filterOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error('The filter is not JSON.')
  }
}

async function run(
  index: string,
  body: Record<string, unknown>,
  withExact: boolean,
): Promise<Outcome> {
  const path = `/vectors/indexes/${encodeURIComponent(index)}/search`
  const found = await call<Found>('POST', path, { body })
  if (!withExact || found.body.path === 'keyword') return { found: found.body, exact: null }
  const { ef: _, ...rest } = body
  const exact = await call<Found>('POST', path, { body: { ...rest, exact: true } })
  return { found: found.body, exact: exact.body }
}

function Results({ outcome: { found, exact } }: { outcome: Outcome }): JSX.Element {
  const truth = new Set(exact?.results.map(({ id }) => id))
  const hits = found.results.filter(({ id }) => truth.has(id)).length
  const recall = exact === null || truth.size === 0 ? null : hits / truth.size
  return (
    <div class="grid">
      <Card
        title={`${found.results.length} results`}
        aside={
          recall !== null && (
            <Badge tone={recall === 1 ? 'good' : 'warn'}>recall {share(recall)}</Badge>
          )
        }
      >
        <Facts
          facts={{
            Path: found.path,
            'ef used': found.ef_used === 0 ? 'none' : found.ef_used,
            Time: milliseconds(found.took_ms),
            Generation: `${found.generation}, ${found.config_source}`,
            'All that match': found.exhausted ? 'yes: no more match' : null,
          }}
        />
        <Hits
          hits={found.results}
          missing={exact === null ? null : truth}
          missingText="not exact"
        />
      </Card>
      {exact !== null && (
        <Card title="Exact answer">
          <Facts facts={{ Path: exact.path, Time: milliseconds(exact.took_ms) }} />
          <Hits
            hits={exact.results}
            missing={new Set(found.results.map(({ id }) => id))}
            missingText="missed"
          />
        </Card>
      )}
    </div>
  )
}

interface HitsProps {
  readonly hits: readonly Hit[]
  /** Ids of the other side; null: there is none. */
  readonly missing: ReadonlySet<string> | null
  readonly missingText: string
}

function Hits({ hits, missing, missingText }: HitsProps): JSX.Element {
  if (hits.length === 0) return <p class="quiet">Nothing matches.</p>
  return (
    <ol class="hits">
      {hits.map((hit, i) => (
        <li class="hit" key={hit.id}>
          <span class="quiet">{i + 1}</span>
          <div>
            <strong>{hit.id}</strong>{' '}
            {missing !== null && !missing.has(hit.id) && <Badge tone="warn">{missingText}</Badge>}
            {typeof hit.text === 'string' && <div class="small">{cut(hit.text)}</div>}
            {hit.metadata !== null && hit.metadata !== undefined && (
              <div class="small quiet mono">{cut(JSON.stringify(hit.metadata))}</div>
            )}
          </div>
          <span class="nowrap">{amount(hit.score)}</span>
        </li>
      ))}
    </ol>
  )
}

function cut(text: string): string {
  return text.length > 240 ? `${text.slice(0, 240)}…` : text
}
