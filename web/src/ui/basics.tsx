/** Small things that every page is made of: cards, badges, figures, times, notices, empty states. */

import { signal } from '@preact/signals'
import type { ComponentChildren, JSX } from 'preact'
import { messageOf, Unreachable } from '../api/client.ts'
import { absolute, ago, DASH } from '../format.ts'

export type Tone = 'good' | 'warn' | 'bad' | 'accent' | 'plain'

/** Milliseconds since the epoch; moves every few seconds, for what says "ago". */
const now = signal(Date.now())

setInterval(() => {
  if (!document.hidden) now.value = Date.now()
}, 5000)

const TONES: Readonly<Record<string, Tone>> = {
  ready: 'good',
  ok: 'good',
  running: 'good',
  idle: 'good',
  succeeded: 'good',
  completed: 'good',
  published: 'good',
  working: 'accent',
  loading: 'accent',
  queued: 'accent',
  draining: 'accent',
  degraded: 'warn',
  at_risk: 'warn',
  starting: 'warn',
  unreachable: 'bad',
  unavailable: 'bad',
  violated: 'bad',
  failed: 'bad',
  embedder_unavailable: 'bad',
}

function toneOf(state: string): Tone {
  return TONES[state] ?? 'plain'
}

export function Badge(props: { tone?: Tone; children: ComponentChildren }): JSX.Element {
  return <span class={`badge ${props.tone ?? 'plain'}`}>{props.children}</span>
}

/** A state in its colour; the word says it too. */
export function State({ state }: { state: string }): JSX.Element {
  return <Badge tone={toneOf(state)}>{state.replaceAll('_', ' ')}</Badge>
}

interface CardProps {
  readonly title: string
  readonly children: ComponentChildren
  /** Beside the title. */
  readonly aside?: ComponentChildren
}

export function Card({ title, children, aside }: CardProps): JSX.Element {
  const id = `card-${title.toLowerCase().replaceAll(/[^a-z]+/g, '-')}`
  return (
    <section class="card" aria-labelledby={id}>
      <div class="row between">
        <h2 id={id}>{title}</h2>
        {aside}
      </div>
      {children}
    </section>
  )
}

interface FigureProps {
  readonly name: string
  readonly value: ComponentChildren
  readonly unit?: string
  readonly note?: ComponentChildren
}

/** One large number. Stands in a `<dl class="figures">`. */
export function Figure({ name, value, unit, note }: FigureProps): JSX.Element {
  return (
    <div class="figure">
      <dt>{name}</dt>
      <dd>
        <div class="value">
          {value}
          {unit !== undefined && <small> {unit}</small>}
        </div>
        {note !== undefined && <div class="small quiet">{note}</div>}
      </dd>
    </div>
  )
}

interface FactsProps {
  readonly facts: Readonly<Record<string, ComponentChildren>>
  /** Two columns of pairs where there is room. */
  readonly isBroad?: boolean
}

/** Pairs of a name and what it is; pairs without a value are left out. */
export function Facts({ facts, isBroad = false }: FactsProps): JSX.Element {
  const known = Object.entries(facts).filter(([, value]) => value !== undefined && value !== null)
  return (
    <dl class={`facts ${isBroad ? 'broad' : ''}`}>
      {known.map(([name, value]) => [
        <dt key={name}>{name}</dt>,
        <dd key={`${name}:`}>{value}</dd>,
      ])}
    </dl>
  )
}

/** How long ago, with the time itself for whoever points at it. */
export function When({ at }: { at: string | null | undefined }): JSX.Element {
  if (at === null || at === undefined) return <span class="quiet">{DASH}</span>
  return (
    <time dateTime={at} title={absolute(at)} class="nowrap">
      {ago(at, now.value)}
    </time>
  )
}

/** @param part 0 to 1. */
export function Meter({ part, label }: { part: number; label: string }): JSX.Element {
  const share = Math.min(1, Math.max(0, part))
  return (
    <div
      class={`meter ${share > 0.85 ? 'warn' : ''}`}
      role="progressbar"
      aria-label={label}
      aria-valuenow={Math.round(100 * share)}
      aria-valuemin={0}
      aria-valuemax={100}
    >
      <i style={{ width: `${100 * share}%` }} />
    </div>
  )
}

/** An error of a load or an action; that the server is gone stands above the page already. */
export function Fault({ error, what }: { error: unknown; what: string }): JSX.Element | null {
  if (error === null || error === undefined || error instanceof Unreachable) return null
  return (
    <p class="notice bad" role="alert">
      {what} {messageOf(error)}
    </p>
  )
}

/** What stands where nothing is, and what to do about it. */
export function Empty(props: {
  title: string
  children?: ComponentChildren
  curl?: string
}): JSX.Element {
  return (
    <div class="empty">
      <strong>{props.title}</strong>
      {props.children !== undefined && <p>{props.children}</p>}
      {props.curl !== undefined && <pre>{props.curl}</pre>}
    </div>
  )
}

export function Loading(): JSX.Element {
  return <p class="quiet">Loading…</p>
}
