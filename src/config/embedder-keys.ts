/**
 * The keys of `[embedders]`: what turns texts into vectors. The built-in one needs none. They are a
 * part of the table in `schema.ts`.
 */

import { int, path, text, type IntKey, type TextKey } from './key-kinds.ts'

const MIB = 1024 * 1024

export const EMBEDDERS_KEYS = {
  cache_bytes: int(
    64 * MIB,
    [0, 64 * 1024 * MIB],
    'bytes',
    'Vectors of texts that were embedded before are kept in memory up to this size; 0 keeps none.',
  ),
}

export const OLLAMA_KEYS = {
  url: serverUrl('Where an Ollama server listens, such as http://127.0.0.1:11434; empty: none.'),
  model: modelName('Embedder "ollama": the model of that server that embeds; empty: none.'),
  keep_alive: text('5m', {
    pattern: /^(-1|\d{1,6}(ms|s|m|h))$/,
    form: 'a time such as "30s", "5m" or "1h", or "-1" for always',
    effect: 'How long that server keeps the model in memory after it embedded.',
  }),
  ...callKeys(32),
  load_timeout_ms: int(
    300_000,
    [100, 3_600_000],
    'ms',
    'How long that server may take to load a model into memory or to unload it.',
  ),
}

export const OPENAI_KEYS = {
  url: serverUrl(
    'Embedder "openai": base address of a server with POST /v1/embeddings, such as' +
      ' https://api.openai.com; empty: none.',
  ),
  model: modelName('The model that embeds there.'),
  key_file: path(
    '',
    'File of mode 0600 that holds the API key of that server; empty means that key_variable names' +
      ' it.',
  ),
  key_variable: text('OPENAI_API_KEY', {
    pattern: /^[A-Z][A-Z0-9_]{0,127}$/,
    form: 'the name of an environment variable',
    effect: 'Environment variable that holds that API key; where it is not set, none is sent.',
  }),
  ...callKeys(64),
}

function serverUrl(effect: string): TextKey {
  return text('', {
    // Credentials in an address would end up in messages and logs.
    pattern: /^(https?:\/\/[^\s?#@]+)?$/,
    form: 'an http or https address without credentials and query, or empty',
    effect,
  })
}

function modelName(effect: string): TextKey {
  return text('', {
    pattern: /^[A-Za-z0-9_./:@-]{0,256}$/,
    form: 'the name of a model, or empty',
    effect,
  })
}

function callKeys(batch: number): Readonly<Record<'timeout_ms' | 'batch_max' | 'retries', IntKey>> {
  return {
    timeout_ms: int(
      30_000,
      [10, 600_000],
      'ms',
      'How long one request of texts to that server may take.',
    ),
    batch_max: int(batch, [1, 2048], 'texts', 'Texts in one such request.'),
    retries: int(
      2,
      [0, 10],
      'requests',
      'How often one that failed for a reason that may pass is sent again.',
    ),
  }
}
