/**
 * Vectors on the wire: base64 of little-endian float32, a third of the bytes of decimal numbers, and
 * exact.
 */

/** What methods take for a vector; numbers are rounded to float32. */
export type VectorInput = Float32Array | readonly number[]

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const FLOAT_BYTES = 4

/** Characters are put together in runs of this many: longer argument lists overflow the stack. */
const RUN_CHARS = 8192

const LETTERS = Uint8Array.from(ALPHABET, (letter) => letter.charCodeAt(0))
const VALUES = new Uint8Array(128)
for (const [value, letter] of LETTERS.entries()) VALUES[letter] = value

export function vectorToBase64(vector: VectorInput): string {
  const bytes = new Uint8Array(vector.length * FLOAT_BYTES)
  const view = new DataView(bytes.buffer)
  for (let i = 0; i < vector.length; i++) view.setFloat32(i * FLOAT_BYTES, vector[i] ?? NaN, true)
  return toBase64(bytes)
}

/** @throws {TypeError} where the text is no base64 of whole numbers. */
export function vectorFromBase64(text: string): Float32Array {
  const bytes = fromBase64(text)
  if (bytes.length % FLOAT_BYTES !== 0) throw new TypeError('A vector ends within a number.')
  const view = new DataView(bytes.buffer)
  const vector = new Float32Array(bytes.length / FLOAT_BYTES)
  for (let i = 0; i < vector.length; i++) vector[i] = view.getFloat32(i * FLOAT_BYTES, true)
  return vector
}

function toBase64(bytes: Uint8Array): string {
  // Zeros behind the end make whole groups of three; what they became is then padding.
  const padding = (3 - (bytes.length % 3)) % 3
  const padded = new Uint8Array(bytes.length + padding)
  padded.set(bytes)
  const byte = (i: number): number => padded[i] ?? 0
  const letters = new Uint8Array((padded.length / 3) * 4)
  const put = (at: number, value: number): void => {
    letters[at] = LETTERS[value & 63] ?? 0
  }
  for (let i = 0, at = 0; i < padded.length; i += 3, at += 4) {
    const three = (byte(i) << 16) | (byte(i + 1) << 8) | byte(i + 2)
    put(at, three >> 18)
    put(at + 1, three >> 12)
    put(at + 2, three >> 6)
    put(at + 3, three)
  }
  letters.fill('='.charCodeAt(0), letters.length - padding)
  let text = ''
  for (let i = 0; i < letters.length; i += RUN_CHARS) {
    text += String.fromCharCode(...letters.subarray(i, i + RUN_CHARS))
  }
  return text
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) {
    throw new TypeError('This is not base64.')
  }
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  const bytes = new Uint8Array((text.length / 4) * 3 - padding)
  const value = (i: number): number => VALUES[text.charCodeAt(i)] ?? 0
  for (let i = 0, at = 0; i < text.length; i += 4) {
    const four = (value(i) << 18) | (value(i + 1) << 12) | (value(i + 2) << 6) | value(i + 3)
    bytes[at++] = four >> 16
    if (at < bytes.length) bytes[at++] = (four >> 8) & 255
    if (at < bytes.length) bytes[at++] = four & 255
  }
  return bytes
}
