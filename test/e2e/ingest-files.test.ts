/** Files of every format become datasets and points: as bodies, as objects of a bucket, as they come. */

import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { request as send } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, it } from 'node:test'
import { TABLE_FORMATS, type TableFormat } from '../../src/codecs/table-reader.ts'
import { encodeTable } from '../../src/codecs/table-writer.ts'
import type { Column, TableBatch } from '../../src/domain/table.ts'
import { startService, type Reply, type Service } from '../support/service.ts'

const ROWS = 20_000
const FILE_BYTES_MAX = 2 ** 21
const TYPES: Readonly<Record<TableFormat, string>> = {
  parquet: 'application/vnd.apache.parquet',
  arrow: 'application/vnd.apache.arrow.stream',
  ndjson: 'application/x-ndjson',
  csv: 'text/csv',
}

let folder: string
let service: Service
/** The same table in each format. */
const FILES = new Map<TableFormat, Uint8Array>()

const start = async (): Promise<void> => {
  const env = {
    VECTORD_INGEST_FILE_BYTES_MAX: String(FILE_BYTES_MAX),
    VECTORD_INGEST_SILENCE_MS: '20000',
  }
  service = await startService(folder, { env })
  await service.ready()
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vectord-'))
  for (const format of TABLE_FORMATS) FILES.set(format, await fileOf(format, 2000))
  await start()
  for (const name of ['files', 'watched']) {
    await service.must('POST', '/vectors/indexes', { name, dimension: 2, metric: 'l2' })
  }
})

after(async () => {
  await service.kill()
  await rm(folder, { recursive: true, force: true, maxRetries: 5 })
})

async function fileOf(format: TableFormat, rows: number): Promise<Uint8Array> {
  const columns: Column[] = [
    { name: 'id', type: 'int64', nullable: false },
    { name: 'v', type: 'utf8', nullable: false },
    { name: 'title', type: 'utf8', nullable: true },
  ]
  const numbers = Array.from({ length: rows }, (_, row) => row)
  const cells = [
    numbers.map(BigInt),
    numbers.map((row) => `[${row}, 1]`),
    numbers.map((row) => (row % 2 === 0 ? null : `title ${row}`)),
  ]
  async function* batches(): AsyncGenerator<TableBatch> {
    yield { columns, rows, cells }
  }
  const chunks: Uint8Array[] = []
  for await (const chunk of encodeTable(format, columns, batches())) chunks.push(chunk)
  return Buffer.concat(chunks)
}

interface Result {
  readonly rows: number
  readonly revision: number | null
  readonly index: {
    readonly points: number
    readonly refused: { readonly count: number; readonly rows: readonly object[] }
  } | null
}

function upload(query: string, format: TableFormat, body: Uint8Array | string): Promise<Reply> {
  const type = { 'content-type': TYPES[format] }
  return service.request('POST', `/ingest/file?wait=true&${query}`, body, type)
}

function code({ body }: Reply): string | undefined {
  return (body as { error?: { code?: string } } | undefined)?.error?.code
}

const INTO_FILES = 'index=files&id_column=id&vector_column=v'

for (const format of TABLE_FORMATS) {
  it(`a body of ${format} becomes a dataset and points`, async () => {
    const file = FILES.get(format) ?? ''
    const reply = await upload(`dataset=of-${format}&${INTO_FILES}`, format, file)
    assert.equal(reply.status, 200, reply.text)
    const { rows, revision, index } = reply.body as Result
    assert.deepEqual([rows, revision, index?.points], [2000, 1, 2000])
    const found = await service.must('POST', '/vectors/indexes/files/search', {
      ...{ vector: [77, 1], k: 1 },
    })
    const [hit] = (found as { results: { id: string; metadata: object }[] }).results
    assert.deepEqual([hit?.id, hit?.metadata], ['77', { title: 'title 77' }])
    const dataset = await service.must('GET', `/datasets/of-${format}`)
    assert.equal((dataset as { rows: number }).rows, 2000)
  })
}

it('an object of a bucket becomes the rows that its key says', async () => {
  const key = 'in/one.parquet'
  const put = await service.request(
    'PUT',
    `/storage/buckets/primary/objects/${key}`,
    FILES.get('parquet'),
    { 'content-type': 'application/octet-stream' },
  )
  assert.ok(put.status < 300, put.text)
  const body = { bucket: 'primary', key, dataset: 'objects', mode: 'append' }
  for (const revision of [1, 2]) {
    const reply = await service.request('POST', '/ingest/file?wait=true', body)
    assert.equal(reply.status, 200, reply.text)
    assert.equal((reply.body as Result).revision, revision)
  }
  const dataset = await service.must('GET', '/datasets/objects')
  assert.equal((dataset as { rows: number }).rows, 4000)
  for (const [change, expected] of [
    [{ key: 'in/none.csv' }, 'object_not_found'],
    [{ bucket: 'none' }, 'bucket_not_found'],
    [{ key: '_datasets/objects/x.parquet' }, 'bad_request'],
    [{ key: 'in/unknown.bin' }, 'bad_request'],
    [{ key: '../../etc/passwd.csv' }, 'bad_request'],
    [{ format: 'csv' }, 'file_corrupt'],
  ] as const) {
    const reply = await service.request('POST', '/ingest/file?wait=true', { ...body, ...change })
    assert.equal(code(reply), expected, reply.text)
  }
})

it('damage is told with its place, and nothing is published', async () => {
  const whole = Buffer.from(await fileOf('parquet', ROWS))
  const torn = Buffer.from(whole)
  // Behind the first of three row groups.
  torn.fill(0xff, Math.floor(torn.length * 0.5), Math.floor(torn.length * 0.5) + 4096)
  const cases: readonly (readonly [TableFormat, Uint8Array | string, RegExp])[] = [
    ['parquet', whole.subarray(0, whole.length - 100), /./],
    ['parquet', torn, /"row_group":1/],
    ['parquet', 'PAR1 nothing else', /./],
    ['arrow', (FILES.get('arrow') ?? new Uint8Array()).subarray(0, 5000), /./],
    ['ndjson', '{"id":1,"v":"[1,2]"}\n{"id":2,', /"line":2/],
    ['csv', 'id,v\n1,"[1,2]"\n2,"unclosed', /"line":\d/],
  ]
  for (const [format, body, place] of cases) {
    const reply = await upload('dataset=damaged', format, body)
    assert.equal(code(reply), 'file_corrupt', `${format}: ${reply.text}`)
    assert.match(reply.text, place)
  }
  assert.equal((await service.request('GET', '/datasets/damaged')).status, 404)
  assert.deepEqual(await readdir(join(folder, 'scratch', 'ingest')), [])
})

it('rows that are no points fail the file, or are left out and listed', async () => {
  const body = ['{"id":"a","v":"[1,2]"}', '{"id":"","v":"[1,2]"}', '{"id":"c","v":"[1]"}'].join(
    '\n',
  )
  const failed = await upload(`dataset=bad&${INTO_FILES}`, 'ndjson', body)
  assert.equal(code(failed), 'invalid_points')
  assert.match(failed.text, /"row":1.*"field":"id".*"row":2.*"rejected_total":2/)
  assert.equal((await service.request('GET', '/datasets/bad')).status, 404)
  const skipped = await upload(`dataset=bad&on_bad_row=skip&${INTO_FILES}`, 'ndjson', body)
  assert.equal(skipped.status, 200, skipped.text)
  const { rows, index } = skipped.body as Result
  assert.deepEqual([rows, index?.points, index?.refused.count], [3, 1, 2])
  assert.deepEqual(index?.refused.rows[1], {
    ...{ row: 2, id: 'c', field: 'vector', problem: 'has 1 numbers, the index has 2' },
  })
})

it('texts of an index with an embedder need no vectors', async () => {
  const index = { name: 'texts', embedder: 'local', metric: 'cosine' }
  await service.must('POST', '/vectors/indexes', index)
  const body = '{"id":1,"t":"a red bicycle"}\n{"id":2,"t":"the price of oil"}'
  const reply = await upload('index=texts&id_column=id&text_column=t', 'ndjson', body)
  assert.equal(reply.status, 200, reply.text)
  await service.must('POST', '/vectors/projection/drain', {})
  const query = { text: 'a bike', k: 1 }
  const found = await service.must('POST', '/vectors/indexes/texts/search', query)
  assert.equal((found as { results: { id: string }[] }).results[0]?.id, '1')
})

it('what is asked wrongly is refused before anything is read', async () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['', 'text/csv', 'bad_request'],
    ['dataset=d', 'application/octet-stream', 'unsupported_media_type'],
    ['dataset=d&mode=upsert', 'text/csv', 'bad_request'],
    ['dataset=../x', 'text/csv', 'invalid_name'],
    ['dataset=d&bucket=none', 'text/csv', 'bucket_not_found'],
    ['index=none&id_column=id&vector_column=v', 'text/csv', 'index_not_found'],
    ['index=files&vector_column=v', 'text/csv', 'bad_request'],
    ['index=files&id_column=id', 'text/csv', 'bad_request'],
    ['dataset=d&id_column=id', 'text/csv', 'bad_request'],
    ['index=files&id_column=id&text_column=v', 'text/csv', 'not_configured'],
    ['index=files&id_column=nope&vector_column=v', 'text/csv', 'bad_request'],
    ['dataset=d&unknown=1', 'text/csv', 'bad_request'],
  ]
  for (const [query, type, expected] of cases) {
    const headers = { 'content-type': type }
    const path = `/ingest/file?wait=true&${query}`
    const reply = await service.request('POST', path, 'id,v\n1,"[1,2]"', headers)
    assert.equal(code(reply), expected, `${query}: ${reply.text}`)
  }
  const headers = { 'content-type': 'text/csv', 'x-lakehouse-bucket': 'none' }
  const other = await service.request('POST', '/ingest/file?dataset=d', 'a\n1', headers)
  assert.equal(other.status, 404)
  assert.match(other.text, /"buckets":\["primary"\]/)
  const empty = await upload('dataset=d', 'csv', '')
  assert.equal(code(empty), 'bad_request', empty.text)
})

it('a file that is too large is refused, whether its size is told or not', async () => {
  const body = Buffer.alloc(FILE_BYTES_MAX + 1, 'a,b\n')
  const told = await upload('dataset=large', 'csv', body)
  assert.equal(code(told), 'body_too_large', told.text)
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const url = new URL('/ingest/file?dataset=large', service.url)
    const headers = { 'content-type': 'text/csv' }
    const chunked = send(url, { method: 'POST', headers }, (reply) => {
      reply.resume()
      resolve(reply.statusCode)
    })
    chunked.on('error', reject)
    chunked.write(body.subarray(0, 1000))
    chunked.end(body)
  })
  assert.equal(status, 413)
  assert.deepEqual(await readdir(join(folder, 'scratch', 'ingest')), [])
})

interface WatchJson {
  readonly files: Readonly<Record<'done' | 'failed' | 'growing' | 'ignored', number>>
  readonly failures: readonly { readonly key: string; readonly error: { readonly code: string } }[]
}

it('files below a watched prefix are taken once each, also over a restart', async () => {
  const inbox = join(folder, 'buckets', 'primary', 'arrivals')
  await mkdir(inbox, { recursive: true })
  const point = (id: string): string => `${JSON.stringify({ id, v: '[1,2]' })}\n`
  const watch = {
    ...{ bucket: 'primary', prefix: 'arrivals/', interval_secs: 5, dataset: 'arrivals' },
    index: { name: 'watched', id_column: 'id', vector_column: 'v' },
  }
  for (const bad of [
    { ...watch, prefix: '_datasets/' },
    { ...watch, interval_secs: 1 },
    { ...watch, dataset: null, index: null },
  ]) {
    assert.equal((await service.request('PUT', '/ingest/watches/arrivals', bad)).status, 400)
  }
  await writeFile(join(inbox, 'a.ndjson'), point('a'))
  await writeFile(join(inbox, 'bad.ndjson'), 'no json')
  await writeFile(join(inbox, 'notes.txt'), 'nothing for us')
  const made = await service.request('PUT', '/ingest/watches/arrivals', watch)
  assert.deepEqual([made.status, made.headers.get('etag')], [201, '"1"'])
  const until = (isSo: (watch: WatchJson) => boolean): Promise<Reply> =>
    service.eventually('/ingest/watches/arrivals', ({ status, body, text }) => {
      assert.equal(status, 200, text)
      return isSo(body as WatchJson)
    })
  const first = await until(({ files }) => files.done === 1 && files.failed === 1)
  const { files, failures } = first.body as WatchJson
  assert.equal(files.ignored, 1)
  assert.deepEqual(
    failures.map(({ key, error }) => [key, error.code]),
    [['arrivals/bad.ndjson', 'file_corrupt']],
  )
  const rows = async (): Promise<number> => {
    return ((await service.must('GET', '/datasets/arrivals')) as { rows: number }).rows
  }
  assert.equal(await rows(), 1)

  await service.kill()
  await start()
  await writeFile(join(inbox, 'b.ndjson'), point('b') + point('c'))
  await writeFile(join(inbox, 'bad.ndjson'), point('repaired'))
  await until((now) => now.files.done === 3 && now.files.failed === 0)
  assert.equal(await rows(), 4)
  for (const id of ['a', 'b', 'c', 'repaired']) {
    await service.must('GET', `/vectors/indexes/watched/points/${id}`)
  }
  const { watches } = (await service.must('GET', '/ingest/watches')) as { watches: object[] }
  assert.equal(watches.length, 1)

  // Taken anew after the watch was forgotten: the dataset knows the files that it has.
  assert.equal((await service.request('DELETE', '/ingest/watches/arrivals')).status, 204)
  assert.equal((await service.request('GET', '/ingest/watches/arrivals')).status, 404)
  await service.must('PUT', '/ingest/watches/arrivals', watch)
  await until((now) => now.files.done === 3)
  assert.equal(await rows(), 4)
  const retry = await service.request('POST', '/ingest/watches/arrivals/retry')
  assert.deepEqual([retry.status, retry.body], [202, { retried: 0 }])
})
