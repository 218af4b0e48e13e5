/**
 * Tables of points as a client with apache-arrow makes them.
 */

import {
  Field,
  FixedSizeList,
  Float32,
  List,
  makeBuilder,
  Table,
  tableToIPC,
  Utf8,
  vectorFromArray,
  type DataType,
  type Float,
  type Vector,
} from 'apache-arrow'

export const FLOAT32 = new Float32()

/** A list column as apache-arrow builds it, nulls included. */
export function lists(values: readonly unknown[], type: DataType = pairs(FLOAT32)): Vector {
  const builder = makeBuilder({ type, nullValues: [null] })
  for (const value of values) builder.append(value)
  return builder.finish().toVector()
}

export function pairs(element: Float, size = 2): FixedSizeList<Float> {
  return new FixedSizeList(size, new Field('item', element, true))
}

export function listOf(element: DataType): List {
  return new List(new Field('item', element, true))
}

export function texts(values: readonly (string | null)[], type: DataType = new Utf8()): Vector {
  return vectorFromArray(values, type)
}

export function stream(columns: Record<string, Vector>): Uint8Array {
  return tableToIPC(new Table(columns), 'stream')
}

export const IDS = texts(['a', 'b'])
export const VECTORS = lists([
  [1, 2],
  [3, 4],
])
export const PLAIN = stream({ id: IDS, vector: VECTORS })
