/** A table in a frame that scrolls sideways by itself, with columns that can be sorted and pages. */

import type { ComponentChildren, JSX } from 'preact'
import { useState } from 'preact/hooks'
import { count } from '../format.ts'

export interface Column<T> {
  readonly name: string
  readonly cell: (row: T) => ComponentChildren
  /** Numbers stand right. */
  readonly isNumber?: boolean
  /** Left out where the screen is narrow. */
  readonly isWide?: boolean
  /** What it is sorted by; left out, it is not. Null comes last. */
  readonly by?: (row: T) => number | string | null
}

interface TableProps<T> {
  /** Says what the table holds, to those who do not see it. */
  readonly label: string
  readonly columns: readonly Column<T>[]
  readonly rows: readonly T[]
  readonly keyOf: (row: T) => string | number
  readonly isChosen?: (row: T) => boolean
  /** Rows of a page; all where it is left out. */
  readonly pageRows?: number
}

interface Order {
  readonly name: string
  readonly isDown: boolean
}

export function Table<T>(props: TableProps<T>): JSX.Element {
  const { label, columns, rows, keyOf, isChosen, pageRows = Infinity } = props
  const [order, setOrder] = useState<Order | null>(null)
  const [page, setPage] = useState(0)
  const last = Math.max(0, Math.ceil(rows.length / pageRows) - 1)
  const at = Math.min(page, last)
  const shown = sorted(rows, columns, order)
  const visible = pageRows === Infinity ? shown : shown.slice(at * pageRows, (at + 1) * pageRows)
  return (
    <div>
      <div class="scroll" role="region" aria-label={label} tabIndex={0}>
        <table>
          <caption class="unseen">{label}</caption>
          <thead>
            <tr>
              {columns.map((column) => (
                <Head key={column.name} column={column} order={order} onOrder={setOrder} />
              ))}
            </tr>
          </thead>
          <tbody>
            {visible.map((row) => (
              <tr key={keyOf(row)} class={isChosen?.(row) === true ? 'chosen' : ''}>
                {columns.map((column, i) => (
                  <Cell key={column.name} column={column} row={row} isFirst={i === 0} />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {last > 0 && (
        <Pager
          label={label}
          from={at * pageRows + 1}
          to={at * pageRows + visible.length}
          total={rows.length}
          onBack={at > 0 ? () => setPage(at - 1) : null}
          onNext={at < last ? () => setPage(at + 1) : null}
        />
      )}
    </div>
  )
}

interface HeadProps<T> {
  readonly column: Column<T>
  readonly order: Order | null
  readonly onOrder: (order: Order) => void
}

function Head<T>({ column, order, onOrder }: HeadProps<T>): JSX.Element {
  const { name, by } = column
  const isOrder = order?.name === name
  const isDown = isOrder && order.isDown
  if (by === undefined) {
    return (
      <th scope="col" class={classOf(column)}>
        {name}
      </th>
    )
  }
  return (
    <th
      scope="col"
      class={classOf(column)}
      aria-sort={isOrder ? (isDown ? 'descending' : 'ascending') : 'none'}
    >
      <button
        type="button"
        class="sort"
        onClick={() => onOrder({ name, isDown: isOrder ? !isDown : column.isNumber === true })}
      >
        {name}
        {isOrder && <span aria-hidden="true">{isDown ? '↓' : '↑'}</span>}
      </button>
    </th>
  )
}

interface CellProps<T> {
  readonly column: Column<T>
  readonly row: T
  readonly isFirst: boolean
}

function Cell<T>({ column, row, isFirst }: CellProps<T>): JSX.Element {
  const content = column.cell(row)
  if (!isFirst) return <td class={classOf(column)}>{content}</td>
  return (
    <th scope="row" class={classOf(column)}>
      {content}
    </th>
  )
}

function classOf<T>({ isNumber, isWide }: Column<T>): string {
  return `${isNumber === true ? 'number' : ''} ${isWide === true ? 'wide-only' : ''}`
}

interface PagerProps {
  readonly label: string
  readonly from: number
  readonly to: number
  /** Null where it is not known. */
  readonly total: number | null
  readonly onBack: (() => void) | null
  readonly onNext: (() => void) | null
}

export function Pager({ label, from, to, total, onBack, onNext }: PagerProps): JSX.Element {
  return (
    <nav class="row between small" aria-label={`Pages of: ${label}`}>
      <span class="quiet" aria-live="polite">
        {count(from)} to {count(to)}
        {total !== null && ` of ${count(total)}`}
      </span>
      <span class="row">
        <button type="button" class="small" disabled={onBack === null} onClick={() => onBack?.()}>
          Back
        </button>
        <button type="button" class="small" disabled={onNext === null} onClick={() => onNext?.()}>
          Next
        </button>
      </span>
    </nav>
  )
}

function sorted<T>(
  rows: readonly T[],
  columns: readonly Column<T>[],
  order: Order | null,
): readonly T[] {
  const by = columns.find(({ name }) => name === order?.name)?.by
  if (order === null || by === undefined) return rows
  const sign = order.isDown ? -1 : 1
  return rows
    .map((row) => ({ row, value: by(row) }))
    .sort((a, b) => compare(a.value, b.value, sign))
    .map(({ row }) => row)
}

function compare(a: number | string | null, b: number | string | null, sign: number): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null)
  if (typeof a === 'number' && typeof b === 'number') return sign * (a - b)
  return sign * String(a).localeCompare(String(b), 'en', { numeric: true })
}
