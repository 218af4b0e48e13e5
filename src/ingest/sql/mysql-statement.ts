/**
 * The SQL of reads of MySQL and MariaDB: names and values quoted, rows wrapped and paged.
 */

import type { Cell } from '../../domain/table.ts'
import type { MysqlColumn } from './mysql-types.ts'
import type { Page } from './sql-session.ts'
import type { SqlQuery } from './sql-source.ts'
import { textOfMicros } from './utc-text.ts'

/** How a wrapped source is called. */
const ALIAS = '`source`'

function quoteName(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``
}

/** `schema`.`table`, for a statement. */
export function tableName({ table, schema }: { table: string; schema?: string }): string {
  return schema === undefined ? quoteName(table) : `${quoteName(schema)}.${quoteName(table)}`
}

/** A row where it is a view. */
export function viewSql({ table, schema }: { table: string; schema?: string }): string {
  const database = schema === undefined ? 'DATABASE()' : textLiteral(schema)
  return `SELECT 1 FROM information_schema.VIEWS
    WHERE TABLE_SCHEMA = ${database} AND TABLE_NAME = ${textLiteral(table)}`
}

/** What was asked for, alone: what the user wrote, or all of a table. */
export function plainSql({ select }: SqlQuery): string {
  if ('query' in select) return withoutSemicolon(select.query)
  const names = select.columns?.map(quoteName).join(', ') ?? '*'
  return `SELECT ${names} FROM ${tableName(select)}`
}

/** It as a table: what is not one SELECT, whole and without INTO, cannot be written so. */
export function asTable({ select }: SqlQuery): string {
  if (!('query' in select)) return `${tableName(select)} AS ${ALIAS}`
  // A comment at its end ends with the line.
  return `(${withoutSemicolon(select.query)}\n) AS ${ALIAS}`
}

/**
 * What a SELECT may hold whose rows have an order, or which the server cannot merge with the one around
 * it and would have to store first.
 */
const NOT_MERGED =
  /\b(order|limit|group|distinct|union|intersect|except|having|over|with|rows|fetch|for|lock|procedure)\b/i

/** Whether a query may be wrapped as well as run as it stands: a word too many in it does no harm. */
export function canBeMerged({ select }: SqlQuery): boolean {
  return !('query' in select) || !NOT_MERGED.test(select.query)
}

/** Some rows of it, each value in the form in which it is read; with a key also in its order. */
export function pageSql(
  source: string,
  columns: readonly MysqlColumn[],
  key: { readonly column: MysqlColumn; readonly page: Page } | null,
): string {
  const values = columns.map((column) => `${expression(column)} AS ${quoteName(column.name)}`)
  const select = `SELECT ${values.join(', ')} FROM ${source}`
  if (key === null) return select
  const { from, isInclusive, rowsMax } = key.page
  const name = `${ALIAS}.${quoteName(key.column.name)}`
  const operator = isInclusive ? '>=' : '>'
  const where = from === null ? '' : ` WHERE ${name} ${operator} ${literal(from, key.column)}`
  const limit = rowsMax === null ? '' : ` LIMIT ${rowsMax}`
  return `${select}${where} ORDER BY ${name}${limit}`
}

/** Numbers are read faster than the driver reads dates; null where a date has no month or day. */
function expression({ name, kind }: MysqlColumn): string {
  const value = `${ALIAS}.${quoteName(name)}`
  switch (kind) {
    case 'time':
      return `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', ${value})`
    case 'geometry':
      return `ST_AsText(${value})`
    default:
      return value
  }
}

/** In hexadecimal text stays what it is, whatever the server escapes. */
function textLiteral(text: string): string {
  return `_utf8mb4 X'${Buffer.from(text).toString('hex')}'`
}

/** A value of a key. */
function literal(value: Cell, { kind }: MysqlColumn): string {
  if (typeof value === 'string') return textLiteral(value)
  if (value instanceof Uint8Array) return `X'${Buffer.from(value).toString('hex')}'`
  if (kind === 'time') return `TIMESTAMP'${textOfMicros(value as bigint)}'`
  return String(value)
}

function withoutSemicolon(query: string): string {
  return query.replace(/;\s*$/, '')
}
