/**
 * The commands that ask a service, as processes, against a real one.
 */

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from '../../client/client.ts'
import { vectord, type Ran, type RunOptions } from '../support/command-line.ts'
import { freePort } from '../support/free-port.ts'
import { startService, type Service } from '../support/service.ts'

const hex = (text: string): string => createHash('sha256').update(text).digest('hex')
const KEY = 'key-of-the-command-line'

describe('vectord against a real service', () => {
  let folder: string
  let service: Service
  let client: Client

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vectord-cli-'))
    const keys = `admin:admin:${hex(KEY)},reader:read:${hex('reader')}`
    service = await startService(join(folder, 'root'), { env: { VECTORD_AUTH_KEYS: keys } })
    client = new Client({ url: service.url, key: KEY })
    await client.indexes.create({ name: 'films', dimension: 4, metric: 'l2' })
  })
  after(async () => {
    await service.kill()
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  })

  /** Operations of an index that have not ended. */
  const open = async (index: string): Promise<number> => {
    let count = 0
    for await (const each of client.operations.list()) {
      if (each.index === index && ['queued', 'running'].includes(each.state)) count += 1
    }
    return count
  }
  const run = (args: readonly string[], options: RunOptions = {}): Promise<Ran> =>
    vectord(args, {
      ...options,
      env: { VECTORD_URL: service.url, VECTORD_API_KEY: KEY, ...options.env },
    })
  const pointLine = (i: number): string =>
    JSON.stringify({
      ...{ id: `f${i}`, vector: [i, 0, i % 7, 1] },
      metadata: { year: 1950 + (i % 70) },
    })
  const json = (ran: Ran): Record<string, unknown> => {
    assert.equal(ran.code, 0, ran.err)
    return JSON.parse(ran.out) as Record<string, unknown>
  }

  it('imports a file, searches it, and exports the same lines again', async () => {
    const lines = Array.from({ length: 1200 }, (_, i) => pointLine(i))
    const file = join(folder, 'films.ndjson')
    await writeFile(file, `\uFEFF${lines.join('\r\n')}\n\n`)
    const { accepted, lines: read } = json(await run(['import', 'films', file, '--json']))
    assert.equal(accepted, 1200)
    assert.equal(read, 1200)

    const query = ['--vector', '[7, 0, 0, 1]', '-k', '2']
    const found = json(await run(['search', 'films', ...query, '--exact', '--json']))
    assert.equal((found['results'] as { id: string }[])[0]?.id, 'f7')
    await writeFile(join(folder, 'query.json'), '[7, 0, 0, 1]')
    const shown = await run(['search', 'films', '--vector', `@${join(folder, 'query.json')}`])
    assert.match(shown.out, /^ #\s+id\s+score\s+distance/)
    assert.match(shown.out, /\n 1\s+f7\s+.*"year":1957/)
    assert.match(shown.err, /10 points by/)

    const output = join(folder, 'out.ndjson')
    const { points } = json(await run(['export', 'films', '-o', output, '--json']))
    assert.equal(points, 1200)
    const exported = (await readFile(output, 'utf8')).trim().split('\n')
    assert.deepEqual(exported.sort(), lines.sort())
    const filter = ['--filter', '{"year": 1950}', '--vectors', 'none']
    const some = await run(['export', 'films', ...filter])
    assert.equal(some.out.trim().split('\n').length, 18)
    assert.doesNotMatch(some.out, /vector/)
  })

  it('imports base64 from standard input, as it exports it', async () => {
    await client.indexes.create({ name: 'copy', dimension: 4, metric: 'l2' })
    const exported = await run(['export', 'films', '--vectors', 'base64', '--quiet'])
    assert.equal(exported.code, 0)
    const imported = await run(['import', 'copy'], { input: exported.out })
    assert.match(imported.out, /1200 points are in "copy"/)
    const again = await run(['export', 'copy', '--vectors', 'base64', '--quiet'])
    assert.deepEqual(again.out.split('\n').sort(), exported.out.split('\n').sort())
  })

  it('exports tables, and imports them by their columns', async () => {
    const columns = ['--vector-column', 'vector', '--metadata-columns', 'version', '--quiet']
    for (const format of ['parquet', 'arrow', 'csv']) {
      const name = `table-${format}`
      await client.indexes.create({ name, dimension: 4, metric: 'l2' })
      const file = join(folder, `films.${format}`)
      const exported = json(await run(['export', 'films', '-o', file, '--json', '--quiet']))
      assert.deepEqual([exported['bytes'], exported['lsn']], [(await stat(file)).size, 3])
      const imported = json(await run(['import', name, file, ...columns, '--json']))
      assert.deepEqual([imported['points'], imported['rows']], [1200, 1200])
      const { vector, metadata } = await client.index(name).fetch('f8', {
        include: ['vector', 'metadata'],
      })
      assert.deepEqual([...(vector ?? [])], [8, 0, 1, 1])
      assert.equal(typeof metadata?.['version'], 'number')
    }
  })

  it('a table comes from standard input too, and tells which rows are no points', async () => {
    await client.indexes.create({ name: 'rows', dimension: 2 })
    const input = 'film,embedding,year\na,"[1,2]",1950\nb,"[1]",1960\nc,"[3,4]",1970\n'
    const columns = ['--id-column', 'film', '--vector-column', 'embedding']
    const table = ['import', 'rows', '-', '--format', 'csv', ...columns]
    const stopped = await run(table, { input })
    assert.equal(stopped.code, 1)
    assert.match(stopped.err, /row/i)
    const skipped = await run([...table, '--skip-bad-rows'], { input })
    assert.equal(skipped.code, 0, skipped.err)
    assert.match(skipped.out, /^2 of 3 rows are points of "rows"\. Left out: 1\.\nrow 1: /)
    assert.deepEqual((await client.index('rows').fetch('c')).metadata, { year: 1970 })
    const only = ['--vectors', 'none', '--filter', '{"year": 1970}']
    const some = await run(['export', 'rows', '--format', 'csv', ...only])
    assert.match(some.out, /^id,text,metadata,version\r\nc,,/)
    for (const args of [
      ['import', 'rows', 'films.parquet', '--from-line', '3'],
      ['import', 'rows', 'films.ndjson', '--vector-column', 'v'],
      ['import', 'rows', join(folder, 'nowhere.csv')],
      ['export', 'rows', '--format', 'csv', '--vectors', 'base64'],
    ]) {
      assert.equal((await run(args)).code, 2, args.join(' '))
    }
    const denied = await run([...table, '--key', 'reader'], { input })
    assert.equal(denied.code, 4, denied.err)
  })

  it('an import that meets a bad line says where to go on, and goes on there', async () => {
    await client.indexes.create({ name: 'half', dimension: 4 })
    const lines = Array.from({ length: 90 }, (_, i) => pointLine(i + 1))
    const bad = lines.with(70, '{"id": "bad", "vector": [1]}')
    // A blank line above shifts all that follow: lines are counted as an editor counts them.
    const input = `\n${bad.join('\n')}`
    const options = ['--batch', '10', '--concurrency', '2']
    const stopped = await run(['import', 'half', '-', ...options], { input })
    assert.equal(stopped.code, 1)
    assert.match(stopped.err, /"vector" has 1 numbers, the index has 4/)
    const from = /--from-line (\d+)/.exec(stopped.err)?.[1]
    assert.equal(from, '72')
    const rest = await run(['import', 'half', '-', ...options, '--from-line', from, '--json'], {
      input: `\n${lines.join('\n')}`,
    })
    assert.equal(json(rest)['accepted'], 20)
    assert.equal((await run(['export', 'half'])).out.trim().split('\n').length, 90)
  })

  it('an import that goes on and stops at once says the same line again', async () => {
    const input = [pointLine(1), pointLine(2), 'nonsense', pointLine(4)].join('\n')
    const stopped = await run(['import', 'half', '-', '--from-line', '3'], { input })
    assert.equal(stopped.code, 2)
    assert.match(stopped.err, /before line 3 is durable: go on with --from-line 3/)
    const { lines } = json(
      await run(['import', 'half', '-', '--from-line', '3', '--json'], {
        input: `${pointLine(1)}\n${pointLine(2)}\n`,
      }),
    )
    assert.equal(lines, 2)
  })

  it('refuses lines that are no points, by their number', async () => {
    const cases: [string | Uint8Array, RegExp][] = [
      ['nonsense', /Line 1 is not JSON/],
      ['{"id":"a","vector":[1,2,3,4]}\n[1]', /Line 2 is no JSON object/],
      ['{"id":"a","vectors":[1]}', /Line 1 has a field "vectors"/],
      ['{"vector":[1,2,3,4]}', /Line 1 has no "id"/],
      ['{"id":"a","vector":["1"]}', /"vector" in line 1/],
      ['{"id":"a","vector":"!!!"}', /"vector" in line 1/],
      [Uint8Array.of(0x7b, 0xff, 0xfe, 0x7d), /Line 1 is not UTF-8/],
    ]
    await Promise.all(
      cases.map(async ([input, told]) => {
        const ran = await run(['import', 'films'], { input })
        assert.equal(ran.code, 2, ran.err)
        assert.match(ran.err, told)
      }),
    )
    assert.equal((await run(['import', 'films', join(folder, 'nowhere')])).code, 2)
    assert.equal((await run(['import', 'films', folder])).code, 2)
  })

  it('tunes with progress, promotes and rolls back, and shows the history', async () => {
    const args = ['--min-recall', '0.5', '--queries', '40', '--json']
    const outcome = json(await run(['tune', 'films', ...args]))
    const [first] = outcome['trials'] as { trial_id: string }[]
    assert.ok(first !== undefined)
    const refused = await run(['promote', 'films', first.trial_id])
    assert.equal(refused.code, 2)
    assert.match(refused.err, /ef_construction/)
    assert.match(refused.err, /say --yes/)
    const promoted = await run(['promote', 'films', first.trial_id, '--yes', '--lazy'])
    assert.match(promoted.out, new RegExp(`trial ${first.trial_id}`))
    const raised = ['promote', 'films', first.trial_id, '--ef', '77', '-y', '--lazy', '--json']
    const { current } = json(await run(raised)) as { current: { config: { ef_search: number } } }
    assert.equal(current.config.ef_search, 77)
    assert.equal((await run(['promote', 'films', first.trial_id, '--ef', 'none'])).code, 2)
    const back = json(await run(['rollback', 'films', '--yes', '--lazy', '--json']))
    const forward = json(await run(['rollback', 'films', '--forward', '-y', '--lazy', '--json']))
    assert.equal(forward['revision'], Number(back['revision']) + 1)
    const history = json(await run(['history', 'films', '-n', '2', '--json']))
    const kinds = (history['entries'] as { kind: string }[]).map(({ kind }) => kind)
    assert.deepEqual(kinds, ['roll_forward', 'rollback'])
    assert.match((await run(['history', 'films'])).out, /^rev\s+at\s+what.*\n.*roll_forward/)
    assert.match((await run(['recall', 'films'])).out, /^goal 0\.\d+: unknown, by 0 samples/)
  })

  it('lists, adds, checks and removes buckets', async () => {
    const root = join(folder, 'archive')
    assert.match((await run(['buckets', 'add', 'archive', '--root', root])).out, /is registered/)
    assert.match((await run(['buckets', 'list'])).out, /archive\s+extra/)
    assert.equal((await run(['buckets', 'health'])).code, 0)
    assert.equal(
      (await run(['buckets', 'remove', 'archive', '--json'])).out,
      '{"removed":"archive"}\n',
    )
    assert.equal((await run(['buckets', 'remove', 'primary'])).code, 4)
    assert.equal((await run(['buckets', 'add', 'x'])).code, 2)
  })

  it('ends with the code of what went wrong, and never prints the key', async () => {
    const wrong = 'a-key-that-nobody-knows'
    const denied = await run(['history', 'films', '--json'], { env: { VECTORD_API_KEY: wrong } })
    assert.equal(denied.code, 4)
    const { error } = JSON.parse(denied.err) as { error: { code: string } }
    assert.equal(error.code, 'unauthenticated')
    const reader = await run(['buckets', 'remove', 'x', '--key', 'reader'])
    assert.equal(reader.code, 4)
    const absent = await run(['recall', 'film'])
    assert.equal(absent.code, 1)
    assert.match(absent.err, /Did you mean "films"\?.*index_not_found, request/)
    const odd = await run(['recall', 'films'], { env: { VECTORD_API_KEY: 'two words' } })
    assert.equal(odd.code, 2)
    const url = `http://127.0.0.1:${await freePort()}`
    const gone = await run(['recall', 'films', '--url', url, '--json'])
    assert.equal(gone.code, 3)
    assert.match(gone.err, /"code":"no_answer"/)
    assert.equal((await run(['recall', 'films', '--url', 'ftp://x'])).code, 2)
    assert.equal((await run(['recall'])).code, 2)
    assert.equal((await run(['search', 'films', '--vector', '[1, "2"]'])).code, 2)
    assert.equal((await run(['search', 'films', '--vector', '[1]', '-k', '-3'])).code, 2)
    assert.equal((await run(['search', 'films', '--vector', '[1]', '--filter', '[]'])).code, 2)
    for (const { out, err } of [denied, odd, gone, absent]) {
      assert.doesNotMatch(out + err, /a-key-that|two words|key-of-the-command-line/)
    }
  })

  it('shows control characters of names spelled out', async () => {
    await client.index('copy').upsert([{ id: 'evil\u001b[31m', vector: [900, 900, 900, 900] }])
    const { out } = await run(['search', 'copy', '--vector', '[900,900,900,900]', '-k', '1'])
    assert.match(out, /evil\\u001b\[31m/)
    assert.ok(!out.includes('\u001b'))
  })

  it('Control-C in the middle of a tuning cancels it on the service', async () => {
    await client.indexes.create({ name: 'slow', dimension: 64 })
    const random = (i: number): number[] =>
      Array.from({ length: 64 }, (_, j) => Math.sin(i * 64 + j * j + 1))
    const points = Array.from({ length: 24_000 }, (_, i) => ({ id: `${i}`, vector: random(i) }))
    await client.index('slow').import(points)
    await client.evals.generate('slow-set', { index: 'slow', k: 10, queries: 400 })
    const ran = await run(['tune', 'slow', '--eval', 'slow-set'], { interruptAfter: /./ })
    assert.equal(ran.code, 130, ran.err)
    for (let tries = 0; (await open('slow')) > 0; tries += 1) {
      assert.ok(tries < 100, 'the tuning goes on')
      await sleep(200)
    }
    const states: string[] = []
    for await (const { kind, index, state } of client.operations.list()) {
      const isOfTuning = ['autotune', 'trial'].includes(kind)
      if (index === 'slow' && isOfTuning) states.push(state)
    }
    assert.deepEqual([...new Set(states)], ['cancelled'])
  })
})
