/**
 * Profiles and the GPU slot against a real server and a fake model server: what the model server was
 * asked, in which order, and what the slot says after kills and failures.
 */

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { startOllama, type OllamaFault, type OllamaServer } from '../support/ollama-server.ts'
import { startService, temporaryFolder, type Service } from '../support/service.ts'

const GENERATE = '/api/generate'
const ACTIVE = '/vectors/profile/active'

interface World {
  readonly service: Service
  readonly ollama: OllamaServer
  /** Starts the service again on the same folder, after a kill. */
  again(): Promise<Service>
}

async function open(t: TestContext, env: Readonly<Record<string, string>> = {}): Promise<World> {
  const ollama = await startOllama()
  t.after(() => ollama.close())
  for (const model of ['a', 'b', 'c']) ollama.addModel(`model-${model}`)
  const root = await temporaryFolder(t)
  const again = async (): Promise<Service> => {
    const started = await startService(root, {
      env: {
        VECTORD_EMBEDDERS_OLLAMA_URL: ollama.url,
        VECTORD_EMBEDDERS_OLLAMA_RETRIES: '0',
        ...env,
      },
    })
    t.after(() => started.kill())
    await started.ready()
    return started
  }
  const service = await again()
  await service.must('POST', '/vectors/indexes', { name: 'docs', dimension: 2, metric: 'l2' })
  const points = Array.from({ length: 50 }, (_, i) => ({ id: `p${i}`, vector: [i, 1] }))
  await service.must('POST', '/vectors/indexes/docs/points', { points })
  for (const id of ['a', 'b', 'c']) {
    const profile = { model: `model-${id}`, bound_indexes: ['docs', 'gone'], bucket: `${id}_data` }
    await service.must('PUT', `/vectors/profiles/${id}`, profile)
  }
  return { service, ollama, again }
}

/** What was loaded and unloaded so far, in order. */
function moves(ollama: OllamaServer): string[] {
  return ollama.calls(GENERATE).map((body) => {
    const { model, keep_alive: keep, prompt } = body as Record<string, unknown>
    assert.equal(prompt, '')
    return `${String(model)} ${String(keep)}`
  })
}

async function slot(service: Service): Promise<string> {
  const body = (await service.must('GET', ACTIVE)) as Record<string, unknown>
  return `${String(body['state'])} ${String(body['profile'])} ${String(body['model_loaded'])}`
}

function activate(service: Service, id: string): Promise<unknown> {
  return service.must('POST', `/vectors/profile/${id}/activate`)
}

it('one model at a time, through a kill -9 and a model that the server lets go', async (t) => {
  const { service, ollama, again } = await open(t)
  const done = (await activate(service, 'a')) as {
    warmed: { index: string }[]
    failures: { index: string; code: string }[]
    bucket: { provisioned: boolean }
  }
  assert.deepEqual(
    done.warmed.map(({ index }) => index),
    ['docs'],
  )
  assert.deepEqual(
    done.failures.map(({ index, code }) => `${index} ${code}`),
    ['gone index_not_found'],
  )
  assert.equal(done.bucket.provisioned, true)
  assert.ok(existsSync(join(service.root, 'profiles', 'a_data')))
  await activate(service, 'a')
  await activate(service, 'b')
  assert.deepEqual(moves(ollama), ['model-a 5m', 'model-a 0', 'model-b 5m'])
  assert.deepEqual(ollama.loaded, ['model-b:latest'])
  await service.kill()

  const second = await again()
  assert.equal(await slot(second), 'active b true')
  const buckets = JSON.stringify(await second.must('GET', '/storage/buckets'))
  assert.match(buckets, /"a_data".*"b_data"/)
  await second.must('POST', '/admin/unload', { model: 'model-b' })
  assert.equal(await slot(second), 'unloaded b false')
  await activate(second, 'b')
  assert.equal(await slot(second), 'active b true')
  await ollama.close()
  assert.equal(await slot(second), 'unknown b null')
  const refused = await second.request('POST', '/vectors/profile/b/deactivate')
  assert.equal(refused.status, 503, refused.text)
  const search = { index: 'docs', vector: [3, 1], k: 1 }
  const found = await second.must('POST', '/vectors/profile/b/search', search)
  assert.match(JSON.stringify(found), /"id":"p3"/, 'searches need no model server')
})

it('a kill -9 between unload and preload leaves a slot that tells the truth', async (t) => {
  const { service, ollama, again } = await open(t)
  await activate(service, 'a')
  ollama.arm(GENERATE, 'hang', 2)
  const lost = service.request('POST', '/vectors/profile/b/activate').catch(() => null)
  await ollama.asked(GENERATE, 2)
  assert.equal(await slot(service), 'loading b false')
  ollama.release()
  await ollama.asked(GENERATE, 3)
  await service.kill()
  await lost

  const second = await again()
  assert.equal(await slot(second), 'unsettled b false')
  ollama.release()
  await activate(second, 'c')
  const unloaded = moves(ollama).slice(3, 5)
  assert.deepEqual(unloaded, ['model-a 0', 'model-b 0'], 'both may have been left in memory')
  assert.deepEqual(moves(ollama).slice(5), ['model-c 5m'])
  assert.equal(await slot(second), 'active c true')
})

it('every way in which a model server fails is told, and the next try ends it', async (t) => {
  const { service, ollama } = await open(t, { VECTORD_EMBEDDERS_OLLAMA_LOAD_TIMEOUT_MS: '400' })
  await activate(service, 'a')
  const faults: readonly (readonly [OllamaFault, number])[] = [
    ['status_500', 503],
    ['closed', 503],
    ['half_answer', 503],
    ['not_json', 503],
    ['hang', 503],
    ['no_model', 404],
  ]
  for (const [fault, status] of faults) {
    await activate(service, 'a')
    // The model that goes is asked for first: that it is gone already is no failure.
    ollama.arm(GENERATE, fault, fault === 'no_model' ? 2 : 1)
    const reply = await service.request('POST', '/vectors/profile/b/activate')
    assert.equal(reply.status, status, `${fault}: ${reply.text}`)
    assert.match(await slot(service), /^failed b /, fault)
    ollama.release()
    await activate(service, 'b')
    assert.equal(await slot(service), 'active b true', fault)
    assert.ok(ollama.loaded.includes('model-b:latest'), fault)
  }
  const unknown = { model: 'model-x' }
  await service.must('PUT', '/vectors/profiles/x', unknown)
  const reply = await service.request('POST', '/vectors/profile/x/activate')
  assert.match(`${reply.status} ${reply.text}`, /^404 .*model_not_found/)
  assert.equal(await slot(service), 'failed x false')
  await service.must('POST', '/vectors/profile/x/deactivate')
  assert.equal(await slot(service), 'empty null null')
})

it('activations at once leave one model, that of the active profile', async (t) => {
  const { service, ollama } = await open(t)
  const order = ['a', 'b', 'c', 'a', 'c', 'b']
  await Promise.all(order.map((id) => activate(service, id)))
  const { state, model } = (await service.must('GET', ACTIVE)) as { state: string; model: string }
  assert.equal(state, 'active')
  assert.deepEqual(ollama.loaded, [`${model}:latest`])
  let held: string | null = null
  for (const move of moves(ollama)) {
    const [name = '', keep] = move.split(' ')
    if (keep === '0') assert.equal(held, name)
    else assert.equal(held, null, 'a model comes when the one before went')
    held = keep === '0' ? null : name
  }
})

it('/admin/vram joins the model server and nvidia-smi', async (t) => {
  const folder = await temporaryFolder(t)
  const script = '#!/bin/sh\necho "0, GPU-aa, 100, 40, 60, 7, Fake"\n'
  await writeFile(join(folder, 'nvidia-smi'), script, { mode: 0o755 })
  const { service } = await open(t, { PATH: `${folder}:${process.env['PATH'] ?? ''}` })
  await service.must('POST', '/admin/preload', { model: 'model-a' })
  const vram = JSON.stringify(await service.must('GET', '/admin/vram'))
  assert.match(vram, /"model":"model-a:latest","bytes":100000000,"vram_bytes":100000000/)
  assert.match(vram, /"name":"Fake","utilization":0.07,"total_bytes":104857600/)
})

it('409: without a model server it is said what to configure', async (t) => {
  const { service } = await open(t, { VECTORD_EMBEDDERS_OLLAMA_URL: '' })
  for (const [method, path, body] of [
    ['POST', '/vectors/profile/a/activate', undefined],
    ['GET', '/admin/vram', undefined],
    ['POST', '/admin/preload', { model: 'model-a' }],
    ['POST', '/admin/unload', { model: 'model-a' }],
  ] as const) {
    const reply = await service.request(method, path, body)
    assert.equal(reply.status, 409, path)
    assert.match(reply.text, /"code":"not_configured".*"key":"embedders.ollama.url"/, path)
  }
  assert.equal(await slot(service), 'empty null null')
})
