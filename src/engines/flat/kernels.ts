/**
 * The inner loops of every exact distance, over `rows` that lie one behind the other.
 *
 * They run in double precision, so that a stored point has one distance to a query, whichever path
 * found it. `as number` stands where the caller's bounds make a missing element impossible: a check
 * here would cost a tenth of each scan.
 */

/** Dot product of `query` with the row at `offset`. */
export function dot(query: Float64Array, rows: Float32Array, offset: number): number {
  const dimension = query.length
  const unrolled = dimension - (dimension % 4)
  let a = 0
  let b = 0
  let c = 0
  let d = 0
  let i = 0
  for (; i < unrolled; i += 4) {
    a += (query[i] as number) * (rows[offset + i] as number)
    b += (query[i + 1] as number) * (rows[offset + i + 1] as number)
    c += (query[i + 2] as number) * (rows[offset + i + 2] as number)
    d += (query[i + 3] as number) * (rows[offset + i + 3] as number)
  }
  for (; i < dimension; i += 1) a += (query[i] as number) * (rows[offset + i] as number)
  return a + b + (c + d)
}

/** Squared Euclidean distance of `query` to the row at `offset`. */
export function squaredDistance(query: Float64Array, rows: Float32Array, offset: number): number {
  const dimension = query.length
  const unrolled = dimension - (dimension % 4)
  let a = 0
  let b = 0
  let c = 0
  let d = 0
  let i = 0
  for (; i < unrolled; i += 4) {
    const p = (query[i] as number) - (rows[offset + i] as number)
    const q = (query[i + 1] as number) - (rows[offset + i + 1] as number)
    const r = (query[i + 2] as number) - (rows[offset + i + 2] as number)
    const s = (query[i + 3] as number) - (rows[offset + i + 3] as number)
    a += p * p
    b += q * q
    c += r * r
    d += s * s
  }
  for (; i < dimension; i += 1) {
    const p = (query[i] as number) - (rows[offset + i] as number)
    a += p * p
  }
  return a + b + (c + d)
}

/** Sum of the squares of `length` numbers from `offset`: not finite where one of them is not. */
export function squaredNorm(rows: Float32Array, offset: number, length: number): number {
  let sum = 0
  for (let at = offset; at < offset + length; at += 1) {
    const x = rows[at] as number
    sum += x * x
  }
  return sum
}
