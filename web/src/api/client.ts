/**
 * The one place that speaks HTTP: the key, errors as the service writes them, and whether it is there.
 *
 * The key lives in the storage of the session, so it ends with the tab and no other tab sees it.
 */

import { signal } from '@preact/signals'

const KEY_ITEM = 'vectord-key'
const GATEWAY_FAULTS = [502, 504]

export interface Reached {
  readonly state: 'unknown' | 'live' | 'gone'
  /** Milliseconds since the epoch at which it became so. */
  readonly sinceMs: number
}

/** Empty: none is sent. */
export const apiKey = signal(sessionStorage.getItem(KEY_ITEM) ?? '')

/** Why a key is asked for; null where the requests get through. */
export const keyFault = signal<string | null>(null)

export const reached = signal<Reached>({ state: 'unknown', sinceMs: Date.now() })

/** What the service answers where it does not do what was asked. */
export class ApiError extends Error {
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

/** Nobody answered. */
export class Unreachable extends Error {}

export interface Answer<T> {
  readonly status: number
  readonly body: T
  readonly etag: string | null
}

export interface CallOptions {
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal | undefined
}

export function setKey(key: string): void {
  apiKey.value = key
  keyFault.value = null
  if (key === '') sessionStorage.removeItem(KEY_ITEM)
  else sessionStorage.setItem(KEY_ITEM, key)
}

/** @throws {ApiError | Unreachable} and the error of an aborted request. */
export async function call<T>(
  method: string,
  path: string,
  options: CallOptions = {},
): Promise<Answer<T>> {
  const { body, signal: abort } = options
  const headers = {
    ...(apiKey.value !== '' && { authorization: `Bearer ${apiKey.value}` }),
    ...(body !== undefined && { 'content-type': 'application/json' }),
    ...options.headers,
  }
  const response = await send(path, {
    ...{ method, headers, cache: 'no-store' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    ...(abort !== undefined && { signal: abort }),
  })
  const text = await response.text()
  const parsed = parse(text)
  if (parsed === undefined && GATEWAY_FAULTS.includes(response.status)) throw gone()
  isReached()
  if (!response.ok && response.status !== 304) throw faultOf(response.status, parsed)
  return { status: response.status, body: parsed as T, etag: response.headers.get('etag') }
}

/** The body of what `path` answers. */
export async function get<T>(path: string, abort?: AbortSignal): Promise<T> {
  return (await call<T>('GET', path, { signal: abort })).body
}

async function send(path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(path, init)
  } catch (error) {
    if (init.signal?.aborted === true) throw error
    throw gone()
  }
}

function gone(): Unreachable {
  if (reached.value.state !== 'gone') reached.value = { state: 'gone', sinceMs: Date.now() }
  return new Unreachable('The server does not answer.')
}

function isReached(): void {
  if (reached.value.state !== 'live') reached.value = { state: 'live', sinceMs: Date.now() }
}

function faultOf(status: number, body: unknown): ApiError {
  const { error } = (body ?? {}) as { error?: { code?: string; message?: string } }
  const fault = new ApiError(
    status,
    error?.code ?? 'unknown',
    error?.message ?? `The server answered ${status}.`,
  )
  if (status === 401) keyFault.value = fault.message
  return fault
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** What a person is told of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
