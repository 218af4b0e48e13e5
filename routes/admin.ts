/**
 * /admin: the memory of the model server and of the GPUs; models in and out by hand.
 */

import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { NoQuery, Nullable, replies } from '../src/http/schemas.ts'
import type { GpuReport } from '../src/profiles/gpus.ts'
import { KEEP_ALIVE, type LoadedModel, type ModelMemory } from '../src/profiles/model-memory.ts'
import { ModelName } from './profile-schemas.ts'

export interface AdminRoutesOptions {
  /** @throws {VectordError} `not_configured` where there is no model server. */
  readonly models: () => ModelMemory
  readonly gpus: () => Promise<GpuReport>
}

const STRICT = { additionalProperties: false } as const
const TAGS = ['admin']

const Bytes = Type.Integer({ minimum: 0 })

const VramJson = Type.Object(
  {
    models: Type.Array(
      Type.Object(
        {
          model: Type.String(),
          bytes: Bytes,
          vram_bytes: Type.Integer({ minimum: 0, description: 'Of these, on a GPU.' }),
          expires_at: Nullable(Type.String()),
        },
        STRICT,
      ),
      { description: 'What the model server has in memory.' },
    ),
    models_vram_bytes: Type.Integer({ minimum: 0, description: 'Of all these models.' }),
    gpus: Type.Array(
      Type.Object(
        {
          index: Type.Integer(),
          uuid: Type.String(),
          name: Type.String(),
          total_bytes: Nullable(Bytes),
          used_bytes: Type.Union([Bytes, Type.Null()], { description: 'By every process.' }),
          free_bytes: Nullable(Bytes),
          utilization: Nullable(Type.Number({ minimum: 0 })),
        },
        STRICT,
      ),
      { description: 'Empty where this machine has no nvidia-smi.' },
    ),
    gpus_error: Nullable(Type.String({ description: 'Why the GPUs are not known.' })),
  },
  STRICT,
)

const ModelBody = Type.Object({ model: ModelName }, STRICT)

const VRAM = {
  config: { role: 'read', wide: true },
  schema: {
    tags: TAGS,
    summary: 'Models in the memory of the model server, and the GPUs of this machine',
    querystring: NoQuery,
    response: replies({ 200: VramJson }),
  },
} as const

const PRELOAD = {
  config: { role: 'admin', wide: true },
  schema: {
    tags: TAGS,
    summary: 'Bring a model into memory, beside the GPU slot',
    querystring: NoQuery,
    body: ModelBody,
    response: replies({
      200: Type.Object({ model: Type.String(), keep_alive: Type.String() }, STRICT),
    }),
  },
} as const

const UNLOAD = {
  config: { role: 'admin', wide: true },
  schema: {
    tags: TAGS,
    summary: 'Take a model out of memory, also that of the active profile',
    querystring: NoQuery,
    body: ModelBody,
    response: replies({ 200: Type.Object({ model: Type.String() }, STRICT) }),
  },
} as const

export const adminRoutes: FastifyPluginCallbackTypebox<AdminRoutesOptions> = (
  app,
  { models, gpus },
  done,
) => {
  app.get('/admin/vram', VRAM, async () => {
    const server = models()
    const [loaded, { gpus: found, problem }] = await Promise.all([server.loaded(), gpus()])
    return {
      models: loaded.map(modelJson),
      models_vram_bytes: loaded.reduce((sum, { vramBytes }) => sum + vramBytes, 0),
      gpus: found.map(({ totalBytes, usedBytes, freeBytes, ...gpu }) => ({
        ...gpu,
        ...{ total_bytes: totalBytes, used_bytes: usedBytes, free_bytes: freeBytes },
      })),
      gpus_error: problem,
    }
  })

  app.post('/admin/preload', PRELOAD, async ({ body: { model } }) => {
    await models().preload(model, KEEP_ALIVE)
    return { model, keep_alive: KEEP_ALIVE }
  })

  app.post('/admin/unload', UNLOAD, async ({ body: { model } }) => {
    await models().unload(model)
    return { model }
  })
  done()
}

function modelJson({ model, bytes, vramBytes, expiresAt }: LoadedModel): {
  model: string
  bytes: number
  vram_bytes: number
  expires_at: string | null
} {
  return { model, bytes, vram_bytes: vramBytes, expires_at: expiresAt }
}
