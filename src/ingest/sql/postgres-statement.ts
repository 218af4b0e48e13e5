/**
 * The SQL of reads of PostgreSQL: names and values quoted, rows wrapped and paged.
 */

import type { Cell } from '../../domain/table.ts'
import { VectordError } from '../../lib/errors.ts'
import type { PostgresColumn } from './postgres-types.ts'
import type { Page } from './sql-session.ts'
import type { SqlQuery } from './sql-source.ts'
import { textOfMicros } from './utc-text.ts'

/** How a wrapped source is called. */
const ALIAS = '"source"'

/** Longer ones the server cuts off without an error: then they name something else. */
const NAME_BYTES_MAX = 63

interface TableSelect {
  readonly table: string
  readonly schema?: string
}

function quoteName(name: string): string {
  if (Buffer.byteLength(name) > NAME_BYTES_MAX) {
    throw new VectordError('source_not_found', `PostgreSQL has no names as long as "${name}".`, {
      details: { name },
    })
  }
  return `"${name.replaceAll('"', '""')}"`
}

/** "schema"."table", for a statement. */
function tableName({ table, schema }: TableSelect): string {
  return schema === undefined ? quoteName(table) : `${quoteName(schema)}.${quoteName(table)}`
}

/**
 * For each column its name, whether it is NOT NULL, and whether it alone is a unique key; and whether
 * that holds for all rows, which it does for tables without others that inherit them.
 */
export function catalogueSql(select: TableSelect): string {
  return `SELECT a.attname, a.attnotnull,
    EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisunique
      AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indnkeyatts = 1
      AND i.indkey[0] = a.attnum) AS is_unique,
    c.relkind = 'p' OR c.relkind = 'r' AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_inherits h WHERE h.inhparent = c.oid) AS is_known
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
    WHERE c.oid = pg_catalog.to_regclass(${textLiteral(tableName(select))})
      AND a.attnum > 0 AND NOT a.attisdropped`
}

/** What was asked for, alone: what the user wrote, or all of a table. */
export function plainSql({ select }: SqlQuery): string {
  if ('query' in select) return withoutSemicolon(select.query)
  const names = select.columns?.map(quoteName).join(', ') ?? '*'
  return `SELECT ${names} FROM ${tableName(select)}`
}

/** It as a table: what is not one SELECT, whole, cannot be written so. */
export function asTable({ select }: SqlQuery): string {
  if (!('query' in select)) return `${tableName(select)} AS ${ALIAS}`
  // A comment at its end ends with the line.
  return `(${withoutSemicolon(select.query)}\n) AS ${ALIAS}`
}

/** Some rows of it, each value in the form in which it is read; with a key also in its order. */
export function pageSql(
  source: string,
  columns: readonly PostgresColumn[],
  key: { readonly column: PostgresColumn; readonly page: Page } | null,
): string {
  const select = `SELECT ${columns.map(expression).join(', ')} FROM ${source}`
  if (key === null) return select
  const { from, isInclusive, rowsMax } = key.page
  const name = `${ALIAS}.${quoteName(key.column.name)}`
  const operator = isInclusive ? '>=' : '>'
  const where = from === null ? '' : ` WHERE ${name} ${operator} ${literal(from, key.column)}`
  const limit = rowsMax === null ? '' : ` LIMIT ${rowsMax}`
  return `${select}${where} ORDER BY ${name}${limit}`
}

/** A row where the key has a NULL: those come last, where no page that begins at a value finds them. */
export function nullKeySql(source: string, { name }: PostgresColumn): string {
  return `SELECT 1 FROM ${source} WHERE ${ALIAS}.${quoteName(name)} IS NULL LIMIT 1`
}

export function copySql(select: string): string {
  return `COPY (${select}\n) TO STDOUT (FORMAT binary)`
}

function expression({ name, isCast }: PostgresColumn): string {
  const value = `${ALIAS}.${quoteName(name)}`
  return isCast ? `${value}::text` : value
}

/** A value of a key. */
function literal(value: Cell, column: PostgresColumn): string {
  return `${textLiteral(literalText(value, column))}::pg_catalog.${String(column.keyType)}`
}

function literalText(value: Cell, { type }: PostgresColumn): string {
  if (type === 'timestamp') return textOfMicros(value as bigint)
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`
  return String(value)
}

/** The session takes backslashes as they are. */
function textLiteral(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

function withoutSemicolon(query: string): string {
  return query.replace(/;\s*$/, '')
}
