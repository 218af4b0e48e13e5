/** What another program reads in a file. */

import { DuckDBInstance } from '@duckdb/node-api'

/** The rows of a query as JSON values; 64-bit integers are text. */
export async function duckRows(sql: string): Promise<Record<string, unknown>[]> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    const reader = await connection.runAndReadAll(sql)
    return reader.getRowObjectsJson()
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}
