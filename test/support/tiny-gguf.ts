/**
 * A model for llama.cpp that weighs 400 kB: BERT with random weights, in a GGUF file of version 3.
 *
 *     "GGUF" | version | count of tensors, of keys | keys | tensors: name, shape, offset | data
 *
 * It knows nothing, but it is deterministic, and other texts have other vectors. Its vocabulary is
 * single characters, so that a text has about as many tokens as letters.
 */

import { seededRandom } from '../../src/lib/seeded-random.ts'

/** Tokens that it takes at most, the two around each text among them. */
export const TINY_CONTEXT = 256
export const TINY_DIMENSION = 64

const LAYERS = 2
const HEADS = 4
const FEED_FORWARD = 128
const TOKEN_TYPES = 2
/** Of data, as the format has it where no key says otherwise. */
const ALIGNMENT = 32
/** Files of this size are laid out in memory. */
const SIZE_MAX = 4 * 1024 * 1024

const CHARACTERS = Array.from("abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'-()")
const SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] as const
/** A word begins with the mark, and goes on without. */
const TOKENS = [...SPECIAL, ...CHARACTERS.map((c) => `\u2581${c}`), ...CHARACTERS]

type Value =
  | { readonly u32: number }
  | { readonly f32: number }
  | { readonly bool: boolean }
  | { readonly text: string }
  | { readonly texts: readonly string[] }

interface Tensor {
  readonly name: string
  /** The innermost first. */
  readonly shape: readonly number[]
  readonly numbers: Float32Array
}

const TYPE = { u32: 4, f32: 6, bool: 7, text: 8, texts: 9 } as const

export function tinyGguf(seed: number): Uint8Array {
  const tensors = weights(seed)
  const keys = Object.entries(metadata())
  const out = new Writer()
  out.bytes(Buffer.from('GGUF'))
  out.u32(3)
  out.u64(tensors.length)
  out.u64(keys.length)
  for (const [key, value] of keys) writeKey(out, key, value)
  let offset = 0
  for (const { name, shape, numbers } of tensors) {
    out.text(name)
    out.u32(shape.length)
    for (const length of shape) out.u64(length)
    out.u32(0) // Numbers of 32 bits.
    out.u64(offset)
    offset += aligned(numbers.byteLength)
  }
  for (const { numbers } of tensors) {
    out.align()
    out.bytes(new Uint8Array(numbers.buffer))
  }
  return out.written()
}

function metadata(): Readonly<Record<string, Value>> {
  return {
    'general.architecture': { text: 'bert' },
    'general.name': { text: 'tiny' },
    'bert.block_count': { u32: LAYERS },
    'bert.context_length': { u32: TINY_CONTEXT },
    'bert.embedding_length': { u32: TINY_DIMENSION },
    'bert.feed_forward_length': { u32: FEED_FORWARD },
    'bert.attention.head_count': { u32: HEADS },
    'bert.attention.layer_norm_epsilon': { f32: 1e-12 },
    'bert.attention.causal': { bool: false },
    'tokenizer.ggml.model': { text: 'bert' },
    'tokenizer.ggml.tokens': { texts: TOKENS },
    'tokenizer.ggml.token_type_count': { u32: TOKEN_TYPES },
    'tokenizer.ggml.padding_token_id': { u32: SPECIAL.indexOf('[PAD]') },
    'tokenizer.ggml.unknown_token_id': { u32: SPECIAL.indexOf('[UNK]') },
    'tokenizer.ggml.bos_token_id': { u32: SPECIAL.indexOf('[CLS]') },
    'tokenizer.ggml.cls_token_id': { u32: SPECIAL.indexOf('[CLS]') },
    'tokenizer.ggml.seperator_token_id': { u32: SPECIAL.indexOf('[SEP]') },
    'tokenizer.ggml.mask_token_id': { u32: SPECIAL.indexOf('[MASK]') },
  }
}

function weights(seed: number): Tensor[] {
  const random = seededRandom(seed)
  const tensor = (name: string, shape: readonly number[], numberAt: () => number): Tensor => {
    const count = shape.reduce((product, length) => product * length, 1)
    return { name, shape, numbers: Float32Array.from({ length: count }, numberAt) }
  }
  /** Numbers of variance 1 / inputs keep the size of what goes through. */
  const linear = (name: string, inputs: number, outputs: number): Tensor[] => [
    tensor(`${name}.weight`, [inputs, outputs], () => (random() - 0.5) * Math.sqrt(12 / inputs)),
    tensor(`${name}.bias`, [outputs], () => 0),
  ]
  const norm = (name: string): Tensor[] => [
    tensor(`${name}.weight`, [TINY_DIMENSION], () => 1),
    tensor(`${name}.bias`, [TINY_DIMENSION], () => 0),
  ]
  const table = (name: string, rows: number): Tensor =>
    tensor(`${name}.weight`, [TINY_DIMENSION, rows], () => random() - 0.5)
  const layer = (i: number): Tensor[] => [
    ...['attn_q', 'attn_k', 'attn_v', 'attn_output'].flatMap((name) =>
      linear(`blk.${i}.${name}`, TINY_DIMENSION, TINY_DIMENSION),
    ),
    ...norm(`blk.${i}.attn_output_norm`),
    ...linear(`blk.${i}.ffn_up`, TINY_DIMENSION, FEED_FORWARD),
    ...linear(`blk.${i}.ffn_down`, FEED_FORWARD, TINY_DIMENSION),
    ...norm(`blk.${i}.layer_output_norm`),
  ]
  return [
    table('token_embd', TOKENS.length),
    table('token_types', TOKEN_TYPES),
    table('position_embd', TINY_CONTEXT),
    ...norm('token_embd_norm'),
    ...Array.from({ length: LAYERS }, (_, i) => layer(i)).flat(),
  ]
}

function writeKey(out: Writer, key: string, value: Value): void {
  out.text(key)
  if ('u32' in value) {
    out.u32(TYPE.u32)
    out.u32(value.u32)
  } else if ('f32' in value) {
    out.u32(TYPE.f32)
    out.f32(value.f32)
  } else if ('bool' in value) {
    out.u32(TYPE.bool)
    out.bytes(Buffer.of(value.bool ? 1 : 0))
  } else if ('text' in value) {
    out.u32(TYPE.text)
    out.text(value.text)
  } else {
    out.u32(TYPE.texts)
    out.u32(TYPE.text)
    out.u64(value.texts.length)
    for (const text of value.texts) out.text(text)
  }
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
}

/** Little-endian, one thing after the other. */
class Writer {
  readonly #buffer = Buffer.alloc(SIZE_MAX)
  #at = 0

  u32(number: number): void {
    this.#at = this.#buffer.writeUInt32LE(number, this.#at)
  }

  u64(number: number): void {
    this.#at = this.#buffer.writeBigUInt64LE(BigInt(number), this.#at)
  }

  f32(number: number): void {
    this.#at = this.#buffer.writeFloatLE(number, this.#at)
  }

  text(text: string): void {
    const bytes = Buffer.from(text)
    this.u64(bytes.length)
    this.bytes(bytes)
  }

  bytes(bytes: Uint8Array): void {
    this.#buffer.set(bytes, this.#at)
    this.#at += bytes.length
  }

  align(): void {
    this.#at = aligned(this.#at)
  }

  written(): Uint8Array {
    return this.#buffer.subarray(0, this.#at)
  }
}
