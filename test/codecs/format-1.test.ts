/**
 * Files of format 1 open and mean what they meant: those in `test/fixtures/codecs-1` were written
 * once and never again. A file of the next format is refused by name.
 */

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { decodeBatch } from '../../src/codecs/batch-codec.ts'
import { BATCH_FORMAT } from '../../src/codecs/batch-templates.ts'
import { hashFile, type FileHash } from '../../src/codecs/file-hash.ts'
import { PART_FORMAT, readDeletesPart, readPointsPart } from '../../src/codecs/parquet-part.ts'
import { decodeManifest, encodeManifest } from '../../src/log/checkpoint-manifest.ts'
import { collect } from '../support/collect.ts'
import { DELETE, DELETES, manifest, POINTS, UPSERT } from './format-1-content.ts'

function fixture(name: string): string {
  return fileURLToPath(new URL(`../fixtures/codecs-1/${name}`, import.meta.url))
}

/** The bytes of the fixtures: who changes them has not shown that old files open. */
const HASHES: Record<string, FileHash> = {
  'points.parquet': {
    bytes: 1873,
    sha256: 'a2d5757ca1e4c7c2c7fae697cf6464f8b1fd4cb696cfce68805b019f2b3e349c',
  },
  'deletes.parquet': {
    bytes: 717,
    sha256: '4eb1ceb9799239d0f624560c83e430e5a92ee34a5b593c9ff627ace90e0671f5',
  },
  'upsert.arrow': {
    bytes: 1048,
    sha256: '600fea0d4d9b6e04081a8c0b4fd9d98da269f3e75018a1f1b67329560fd6ab08',
  },
  'delete.arrow': {
    bytes: 480,
    sha256: '26ec58ecce997a476db758e534289b6268bbc4f01384f19b1354759ef4a6ca9d',
  },
  'manifest.stored': {
    bytes: 1810,
    sha256: 'b8d52de8ce668263d1a49682b637dcbe56977939a8111dc2b1ebcbdb1c312409',
  },
}

describe('format 1', () => {
  it('the files are those that were written in 2026', async () => {
    for (const [name, expected] of Object.entries(HASHES)) {
      assert.deepEqual(await hashFile(fixture(name)), expected, name)
    }
  })

  it('write batches', async () => {
    assert.deepEqual(decodeBatch(await readFile(fixture('upsert.arrow'))), UPSERT)
    assert.deepEqual(decodeBatch(await readFile(fixture('delete.arrow'))), DELETE)
  })

  it('parts', async () => {
    assert.deepEqual(await collect(readPointsPart(fixture('points.parquet'))), [POINTS])
    assert.deepEqual(await collect(readDeletesPart(fixture('deletes.parquet'))), [DELETES])
  })

  it('manifests, with the checksums of the parts', async () => {
    const found = decodeManifest('manifest.stored', await readFile(fixture('manifest.stored')))
    const points = await hashFile(fixture('points.parquet'))
    const deletes = await hashFile(fixture('deletes.parquet'))
    assert.deepEqual(found, manifest({ points, deletes }))
  })
})

describe('a later format', () => {
  it('of a manifest is refused, whatever else it holds', () => {
    const bytes = Buffer.from('{"format":2,"all":"else is new"}')
    assert.throws(() => decodeManifest('docs/manifest.json', bytes), {
      code: 'format_too_new',
      message: /"docs\/manifest\.json" has format 2/,
    })
  })

  it('of a batch is refused', async () => {
    const bytes = await readFile(fixture('upsert.arrow'))
    // FlatBuffers put the value, "1" of length 1, near its key.
    const at = bytes.indexOf(Buffer.from('\x01\0\0\x001\0'))
    bytes.write('3', at + 4)
    assert.throws(() => decodeBatch(bytes), { code: 'format_too_new', message: /has format 3/ })
  })

  it('gets fixtures of its own from whoever raises a number', () => {
    const file = { bytes: 1, sha256: '' }
    const json = Buffer.from(encodeManifest(manifest({ points: file, deletes: file }))).toString()
    const { format } = JSON.parse(json) as { format: number }
    assert.deepEqual([BATCH_FORMAT, PART_FORMAT, format], [2, 2, 1])
  })
})
