/**
 * `vectord doctor` on the folder of a service: every kind of object is damaged in turn, and found;
 * what it repairs, the service makes anew.
 */

import assert from 'node:assert/strict'
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { Finding } from '../../cli/doctor/finding.ts'
import { inspectBucket } from '../../cli/doctor/inspect-bucket.ts'
import { repairAll } from '../../cli/doctor/repair.ts'
import { openTarget } from '../../cli/doctor/target.ts'
import { Client } from '../../client/client.ts'
import { vectord } from '../support/command-line.ts'
import { startService } from '../support/service.ts'

const S3 = { region: 'us-east-1', endpoint: null }
const POINTS = 2600

const vectorOf = (i: number): number[] =>
  Array.from({ length: 8 }, (_, j) => Math.sin(i * 8 + j * j + 1))

describe('vectord doctor', () => {
  let folder: string
  /** As a service left it when it was stopped. */
  let pristine: string
  let copies = 0

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vectord-doctor-test-'))
    pristine = join(folder, 'pristine')
    const service = await startService(pristine)
    const client = new Client({ url: service.url })
    await client.indexes.create({ name: 'films', dimension: 8 })
    const index = client.index('films')
    const points = Array.from({ length: POINTS }, (_, i) => ({ id: `p${i}`, vector: vectorOf(i) }))
    await index.import(points)
    await client.evals.generate('set', { index: 'films', k: 5, queries: 40 })
    const config = { m: 6, ef_construction: 30 }
    const { trial_id: trial } = await index.tuning.runTrial({ eval: 'set', config })
    await index.tuning.promote(trial, { rebuild: 'lazy' })
    await index.checkpoint()
    await service.must('POST', '/vectors/indexes/films/snapshots?wait=true', {})
    const type = { 'content-type': 'text/csv' }
    const path = '/ingest/file?wait=true&dataset=rows'
    assert.equal((await service.request('POST', path, 'id,n\na,1\nb,2\n', type)).status, 200)
    await index.upsert([{ id: 'last', vector: vectorOf(POINTS) }])
    await service.stop()
  })
  after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))

  const copyOf = async (): Promise<string> => {
    const root = join(folder, `copy-${++copies}`)
    await cp(pristine, root, { recursive: true })
    return root
  }
  const inspect = async (root: string, isRepair = false): Promise<readonly Finding[]> => {
    const target = await openTarget(root, S3)
    try {
      const [bucket] = target.buckets
      assert.ok(bucket !== undefined)
      const { findings } = await inspectBucket(bucket, { indexes: null, onStep: () => undefined })
      if (isRepair) await repairAll(bucket, findings)
      return findings
    } finally {
      await target.close()
    }
  }
  const keysOf = async (root: string): Promise<string[]> => {
    const bucket = join(root, 'buckets', 'primary')
    const entries = await readdir(bucket, { recursive: true, withFileTypes: true })
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => relative(bucket, join(entry.parentPath, entry.name)))
      .sort()
  }
  const flip = async (root: string, key: string, at: number): Promise<void> => {
    const path = join(root, 'buckets', 'primary', key)
    const bytes = await readFile(path)
    const place = Math.min(bytes.length - 1, Math.floor(bytes.length * at))
    bytes[place] = (bytes[place] ?? 0) ^ 0x04
    await writeFile(path, bytes)
  }
  const treeOf = async (root: string): Promise<Map<string, string>> => {
    const bucket = join(root, 'buckets', 'primary')
    const keys = await keysOf(root)
    const bodies = await Promise.all(keys.map((key) => readFile(join(bucket, key), 'base64')))
    return new Map(keys.map((key, i) => [key, bodies[i] ?? '']))
  }
  const countIn = async (root: string): Promise<number> => {
    const service = await startService(root)
    try {
      await service.ready()
      const index = new Client({ url: service.url }).index('films')
      let count = 0
      for await (const _ of index.scroll({ include: [] })) count++
      const query = { vector: vectorOf(POINTS), k: 1 }
      const { results } = await index.search(query)
      assert.equal(results[0]?.id, 'last')
      const { faults } = await index.verify({ pollMs: 20 })
      // Until the next checkpoint its manifest names graphs that were taken away.
      assert.deepEqual(
        faults.filter(({ what }) => !what.includes('/graphs/')),
        [],
      )
      return count
    } finally {
      await service.stop()
    }
  }

  it('finds nothing where nothing is damaged, and tells what is there', async () => {
    const root = await copyOf()
    const { code, out } = await vectord(['doctor', root, '--json'])
    assert.equal(code, 0, out)
    const { buckets } = JSON.parse(out) as {
      buckets: { findings: unknown[]; indexes: { name: string; log: { records: number } }[] }[]
    }
    assert.deepEqual(buckets[0]?.findings, [])
    assert.equal(buckets[0].indexes[0]?.name, 'films')
    assert.ok(buckets[0].indexes[0].log.records > 0)
    const shown = await vectord(['doctor', join(root, 'buckets', 'primary')])
    assert.match(shown.out, /films\s+active\s+8\s+\d+[^]*Nothing is damaged/)
  })

  it('finds a flipped bit in every object, wherever it is, and changes nothing itself', async () => {
    const root = await copyOf()
    const keys = await keysOf(root)
    const kinds = new Set(keys.map((key) => key.replace(/[\da-f-]{10,}/g, '')))
    assert.ok(kinds.size >= 16, `${kinds.size} kinds of objects`)
    for (const key of keys) {
      // The description of a graph has no checksum: what it names is checked by length and hash.
      const isDescription = /^_hnsw_graphs.*json$/.test(key)
      for (const at of isDescription ? [0.02] : [0.02, 0.3, 0.97]) {
        const before = await readFile(join(root, 'buckets', 'primary', key))
        await flip(root, key, at)
        const tree = await treeOf(root)
        const found = await inspect(root)
        assert.ok(
          found.some((finding) => finding.key === key && finding.kind !== 'leftover'),
          `${key} at ${at}: ${JSON.stringify(found)}`,
        )
        assert.deepEqual(await treeOf(root), tree)
        await writeFile(join(root, 'buckets', 'primary', key), before)
      }
    }
  })

  it('says what is lost: nothing where the log holds it too, and what where it does not', async () => {
    const root = await copyOf()
    const keys = await keysOf(root)
    const part = keys.find((key) => /^_indexes.*\/parts\//.test(key)) ?? ''
    await flip(root, part, 0.5)
    assert.equal((await inspect(root)).find(({ key }) => key === part)?.loss, null)
    const log = keys.find((key) => key.includes('/log/')) ?? ''
    await flip(root, log, 0.5)
    const found = await inspect(root)
    assert.match(found.find(({ key }) => key === log)?.loss ?? '', /the writes from lsn \d+ on/)
    assert.match(found.find(({ key }) => key === part)?.loss ?? '', /restore it from a copy/)
  })

  it('says what is lost with a file of a snapshot or of a dataset', async () => {
    const root = await copyOf()
    const keys = await keysOf(root)
    const lossOf = async (pattern: RegExp): Promise<string | null | undefined> => {
      const key = keys.find((one) => pattern.test(one)) ?? ''
      await flip(root, key, 0.5)
      const found = (await inspect(root)).filter((one) => one.key === key)
      assert.equal(found.length, 1, key)
      return found[0]?.loss
    }
    assert.match((await lossOf(/^_snapshots.*parts/)) ?? '', /snapshot [0-9a-f-]{29} of "films"/)
    assert.equal(await lossOf(/^_snapshots.*hnsw$/), null)
    assert.equal(await lossOf(/^_datasets.*parts/), '2 rows of the dataset "rows"')
    const document = keys.find((key) => key.endsWith('snapshot.json')) ?? ''
    await rm(join(root, 'buckets', 'primary', document))
    const left = (await inspect(root)).filter(({ key }) => key.startsWith('_snapshots'))
    assert.deepEqual(
      left.map(({ kind }) => kind),
      ['leftover'],
    )
    const only = await vectord(['doctor', root, '--index', 'films', '--json'])
    assert.equal(only.code, 0, only.out)
  })

  it('of a Lance table it is told what was looked at, and that no version is left', async () => {
    const root = join(folder, 'with-a-table')
    const service = await startService(root)
    const client = new Client({ url: service.url })
    await client.indexes.create({ name: 'table', dimension: 2, backend: 'lance' })
    await client.index('table').upsert([{ id: 'a', vector: [1, 2] }])
    await service.stop()
    const whole = await vectord(['doctor', root])
    assert.equal(whole.code, 0, whole.out + whole.err)
    assert.match(whole.out, /table of "table" is Lance's own[^]*Nothing is damaged/)
    await rm(join(root, 'buckets', 'primary', '_lance', 'table.lance', '_versions'), {
      recursive: true,
    })
    const ran = await vectord(['doctor', root])
    assert.equal(ran.code, 1)
    assert.match(ran.out, /missing: _lance\/table\.lance\/_versions\/[^]*every point of "table"/)
  })

  it('finds objects that are missing', async () => {
    const root = await copyOf()
    const keys = (await keysOf(root)).filter((key) => /\/(parts|graphs)\/|\.labels$/.test(key))
    assert.ok(keys.length >= 5)
    for (const key of keys) {
      const path = join(root, 'buckets', 'primary', key)
      const before = await readFile(path)
      await rm(path)
      const found = await inspect(root)
      assert.ok(
        found.some((one) => one.key === key && one.kind === 'missing'),
        key,
      )
      await writeFile(path, before)
    }
  })

  it('repairs what is derived, after which the service holds and finds every point', async () => {
    const root = await copyOf()
    const keys = await keysOf(root)
    const graphs = keys.filter((key) => /^_(?!snapshots).*\.(hnsw|labels)$/.test(key))
    for (const key of graphs) await flip(root, key, 0.5)
    await flip(root, '_hnsw_promotions/films.json', 0.5)
    const half = join(root, 'buckets', 'primary', '.vectord-tmp', '999999-dead-1')
    await writeFile(half, 'half of a write')
    const dry = await vectord(['doctor', root])
    assert.equal(dry.code, 1)
    assert.match(dry.out, /to do: remove it[^]*Nothing was changed/)
    assert.equal(await readFile(half, 'utf8'), 'half of a write')
    const done = await vectord(['doctor', root, '--repair', '--json'])
    assert.equal(done.code, 0, done.out + done.err)
    assert.deepEqual(await inspect(root).then((found) => found.filter(({ repair }) => repair)), [])
    assert.equal((await vectord(['doctor', root])).code, 0)
    const left = await keysOf(root)
    assert.deepEqual(
      left.filter((key) => graphs.includes(key) || key.startsWith('.vectord-tmp')),
      [],
    )
    assert.deepEqual(
      keys.filter((key) => !left.includes(key) && !/^_hnsw_graphs\/|\/graphs\//.test(key)),
      [],
    )
    assert.equal(await countIn(root), POINTS + 1)
  })

  it('leaves a damaged log, part, manifest or document as it is, also when it repairs', async () => {
    const root = await copyOf()
    const keys = (await keysOf(root)).filter((key) =>
      /\/(parts|log|checkpoints|meta)\/|_trials|_evals|\/\d{10}\.json/.test(key),
    )
    for (const key of keys) await flip(root, key, 0.5)
    const tree = await treeOf(root)
    await inspect(root, true)
    for (const key of keys) assert.equal((await treeOf(root)).get(key), tree.get(key), key)
  })

  it('a torn tail is no damage', async () => {
    const root = await copyOf()
    const log = (await keysOf(root)).find((key) => key.includes('/log/')) ?? ''
    const path = join(root, 'buckets', 'primary', log)
    const bytes = await readFile(path)
    await writeFile(path, Buffer.concat([bytes, bytes.subarray(512, 700)]))
    const found = await inspect(root)
    assert.deepEqual(
      found.map(({ kind }) => kind),
      ['leftover'],
    )
    assert.equal(await countIn(root), POINTS + 1)
  })

  it('two at once: the second is refused, whether root or bucket came first', async () => {
    const root = await copyOf()
    const places = [root, join(root, 'buckets', 'primary')]
    for (const [first, second] of [places, places.toReversed()]) {
      assert.ok(first !== undefined && second !== undefined)
      const held = await openTarget(first, S3)
      await assert.rejects(openTarget(second, S3), { code: 'root_locked' })
      await held.close()
      await (await openTarget(second, S3)).close()
    }
  })

  it('an index that is nowhere is a mistake of the command line', async () => {
    const root = await copyOf()
    const ran = await vectord(['doctor', root, '--index', 'films', 'typo', '--repair', '--json'])
    assert.equal(ran.code, 2, ran.out)
    assert.match(ran.err, /no index \\"typo\\"/)
    const known = await vectord(['doctor', root, '--index', 'films', '--json'])
    assert.equal(known.code, 0, known.err)
    const { buckets } = JSON.parse(known.out) as { buckets: { objects: number }[] }
    assert.ok((buckets[0]?.objects ?? 0) > 5)
  })

  it('refuses what is no bucket, and where a server holds the folder', async () => {
    assert.equal((await vectord(['doctor', join(folder, 'nowhere')])).code, 2)
    assert.equal((await vectord(['doctor', tmpdir()])).code, 2)
    const root = await copyOf()
    const service = await startService(root)
    try {
      const held = await vectord(['doctor', root, '--json'])
      assert.equal(held.code, 5)
      assert.match(held.err, new RegExp(`"code":"root_locked".*${service.pid}`))
      const bucket = join(root, 'buckets', 'primary')
      const link = join(folder, 'link')
      await symlink(bucket, link)
      for (const place of [bucket, link]) {
        const ran = await vectord(['doctor', place, '--repair', '--json'])
        assert.equal(ran.code, 5, place)
        assert.match(ran.err, new RegExp(`"code":"root_locked".*${service.pid}`))
      }
    } finally {
      await service.kill()
    }
    assert.equal((await vectord(['doctor', root])).code, 0)
  })
})
