/**
 * Vectors as clients write them: the shortest decimals that read back as the same float32, as
 * Python and Rust print them, and base64 of the bytes.
 *
 * JavaScript prints a float32 as a double, twice as long: no client but a careless one sends that.
 */

const DIGITS_MIN = 5
const DIGITS_MAX = 9

export function jsonVector(vector: Float32Array): string {
  const texts: string[] = []
  for (const value of vector) texts.push(shortest(value))
  return `[${texts.join(',')}]`
}

export function base64Vector(vector: Float32Array): string {
  return Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64')
}

function shortest(value: number): string {
  for (let digits = DIGITS_MIN; digits < DIGITS_MAX; digits += 1) {
    const rounded = Number(value.toPrecision(digits))
    if (Math.fround(rounded) === value) return String(rounded)
  }
  return String(Number(value.toPrecision(DIGITS_MAX)))
}
