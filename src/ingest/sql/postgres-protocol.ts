/**
 * Two conversations with PostgreSQL that its driver has no words for: to have a statement looked at, and
 * to have its rows copied in their binary form. Both are one statement each by the protocol itself.
 */

import type { Connection, FieldDef, Submittable } from 'pg'

/** What the driver calls when the server answers. */
abstract class Conversation implements Submittable {
  abstract submit(connection: Connection): void

  handleRowDescription(_message: { readonly fields: readonly FieldDef[] }): void {
    // Most have none.
  }

  handleDataRow(): void {
    // Rows come as copied data.
  }

  handlePortalSuspended(): void {
    // No portal has a limit.
  }

  handleEmptyQuery(): void {
    // What it was shows in that there were no columns.
  }

  handleCommandComplete(): void {
    // The server is ready only behind it.
  }

  handleCopyInResponse(): void {
    // A read-only transaction takes none: an error follows.
  }

  handleCopyData(_message: { readonly chunk: Buffer }): void {
    // Only a copy has some.
  }

  abstract handleError(error: Error): void
  abstract handleReadyForQuery(): void
}

/** The columns of a statement, which is not run. */
export class Description extends Conversation {
  readonly #sql: string
  readonly #result = Promise.withResolvers<readonly FieldDef[]>()
  #fields: readonly FieldDef[] = []

  constructor(sql: string) {
    super()
    this.#sql = sql
  }

  /** Empty for a statement that gives no rows. @throws what the server says against it. */
  get fields(): Promise<readonly FieldDef[]> {
    return this.#result.promise
  }

  submit(connection: Connection): void {
    connection.parse({ name: '', text: this.#sql, types: [] }, true)
    connection.describe({ type: 'S', name: '' }, true)
    connection.sync()
  }

  override handleRowDescription({ fields }: { readonly fields: readonly FieldDef[] }): void {
    this.#fields = fields
  }

  handleError(error: Error): void {
    this.#result.reject(error)
  }

  handleReadyForQuery(): void {
    this.#result.resolve(this.#fields)
  }
}

export interface CopyListener {
  readonly rows: {
    /** A row whose first column begins at `offset`. */
    add(bytes: Buffer, offset: number): void
  }
  /** The first call counts. @param error null: all rows came. */
  end(error: Error | null): void
}

/** `PGCOPY`, a signature, flags, and the length of what else may stand before the first row. */
const HEADER_BYTES = 19
const COUNT_BYTES = 2

/** `COPY (…) TO STDOUT (FORMAT binary)`: the server sends each row as one message. */
export class BinaryCopy extends Conversation {
  readonly #sql: string
  readonly #listener: CopyListener
  #isBehindHeader = false

  constructor(sql: string, listener: CopyListener) {
    super()
    this.#sql = sql
    this.#listener = listener
  }

  submit(connection: Connection): void {
    connection.parse({ name: '', text: this.#sql, types: [] }, true)
    connection.bind({ portal: '', statement: '' }, true)
    connection.execute({ portal: '' }, true)
    connection.sync()
  }

  override handleCopyData({ chunk }: { readonly chunk: Buffer }): void {
    let offset = 0
    if (!this.#isBehindHeader) {
      this.#isBehindHeader = true
      offset = HEADER_BYTES + chunk.readInt32BE(HEADER_BYTES - 4)
      if (offset === chunk.length) return
    }
    // Behind the last row stands a number of columns that is none.
    if (chunk.readInt16BE(offset) >= 0) this.#listener.rows.add(chunk, offset + COUNT_BYTES)
  }

  handleError(error: Error): void {
    this.#listener.end(error)
  }

  handleReadyForQuery(): void {
    this.#listener.end(null)
  }
}
