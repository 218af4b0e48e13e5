/**
 * What an operation of the model test is given: the server, the model, dice, and a memory of what
 * was sent, so that a failure can tell what led to it.
 */

import assert from 'node:assert/strict'
import type { Reply } from '../service.ts'
import type { Dice } from './dice.ts'
import type { ModelIndex } from './model-index.ts'
import type { ModelServer } from './model-server.ts'
import type { ModelWorld } from './model-world.ts'

const SHOWN_CHARS_MAX = 400
/** Lines kept: those of the last operations. */
const LINES_MAX = 120

/** How many of the true neighbours searches over graphs found. */
export interface RecallTally {
  wanted: number
  found: number
}

/** The last things that were sent. */
export class Trail {
  readonly #lines: { readonly operation: number; readonly text: string }[] = []

  add(operation: number, text: string): void {
    this.#lines.push({ operation, text: text.slice(0, SHOWN_CHARS_MAX) })
    if (this.#lines.length > LINES_MAX) this.#lines.shift()
  }

  /** Those of the operations from `first` on. */
  since(first: number): string {
    return this.#lines
      .filter(({ operation }) => operation >= first)
      .map(({ operation, text }) => `  ${operation} ${text}`)
      .join('\n')
  }
}

export interface RunParts {
  readonly number: number
  readonly dice: Dice
  readonly world: ModelWorld
  readonly server: ModelServer
  readonly trail: Trail
  readonly recall: RecallTally
}

/** One operation under way. */
export class ModelRun {
  readonly number: number
  readonly dice: Dice
  readonly world: ModelWorld
  readonly server: ModelServer
  readonly recall: RecallTally
  readonly #trail: Trail

  constructor({ number, dice, world, server, trail, recall }: RunParts) {
    this.number = number
    this.dice = dice
    this.world = world
    this.server = server
    this.recall = recall
    this.#trail = trail
  }

  async send(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Reply> {
    const shown =
      body === undefined ? '' : ` ${typeof body === 'string' ? body : JSON.stringify(body)}`
    const extra = Object.keys(headers).length === 0 ? '' : ` ${JSON.stringify(headers)}`
    try {
      const reply = await this.server.service.request(method, path, body, headers)
      this.note(`${reply.status} ${reply.text.slice(0, 120)} ◀ ${method} ${path}${extra}${shown}`)
      return reply
    } catch (error) {
      this.note(`no answer ◀ ${method} ${path}${extra}${shown}`)
      throw error
    }
  }

  /** The body of an answer of `status`. */
  async must(method: string, path: string, body?: unknown, status = 200): Promise<unknown> {
    const reply = await this.send(method, path, body)
    return answered(reply, status)
  }

  note(text: string): void {
    this.#trail.add(this.number, text)
  }
}

export function answered(reply: Reply, status: number): unknown {
  assert.equal(reply.status, status, reply.text)
  return reply.body
}

export function refused(reply: Reply, status: number, code: string): void {
  const { error } = reply.body as { readonly error?: { readonly code: string } }
  assert.deepEqual([reply.status, error?.code], [status, code], reply.text)
}

export interface OperationKind {
  readonly name: string
  /** How often it is drawn, against the sum of all. */
  readonly weight: number
  readonly run: (run: ModelRun) => Promise<void>
}

/** A kind that needs nothing. */
export function always(
  name: string,
  weight: number,
  run: (run: ModelRun) => Promise<void>,
): OperationKind {
  return { name, weight, run }
}

/** A kind that needs an index: where there is none, nothing is done. */
export function onIndex(
  name: string,
  weight: number,
  work: (run: ModelRun, index: ModelIndex) => Promise<void>,
): OperationKind {
  return {
    name,
    weight,
    run: async (run) => {
      const index = run.world.anyIndex(run.dice)
      if (index !== null) await work(run, index)
    },
  }
}
