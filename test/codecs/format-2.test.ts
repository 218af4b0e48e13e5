/**
 * Files of format 2 open and mean what they meant: those in `test/fixtures/codecs-2` were written
 * once and never again.
 */

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { decodeBatch } from '../../src/codecs/batch-codec.ts'
import { hashFile } from '../../src/codecs/file-hash.ts'
import { readPointsPart } from '../../src/codecs/parquet-part.ts'
import { collect } from '../support/collect.ts'
import { POINTS, PROJECT, TEXTS } from './format-2-content.ts'

function fixture(name: string): string {
  return fileURLToPath(new URL(`../fixtures/codecs-2/${name}`, import.meta.url))
}

/** The bytes of the fixtures: who changes them has not shown that old files open. */
const HASHES = {
  'points.parquet': 'ff72cf0b74e4363bdc45888eddaa8504497895e540e1048dc2ecd410ae26360f',
  'project.arrow': 'c5dbae825d1ac364991b3c9d2d7faeb2ef1fe324b432d3f3ccb367f783d8ed13',
  'texts.arrow': '34c7de0fe3d8c1e8a4a18a5eed2a4222bd608597394510e457ea62215df665bd',
}

it('the files are those that were written in 2026', async () => {
  for (const [name, expected] of Object.entries(HASHES)) {
    assert.equal((await hashFile(fixture(name))).sha256, expected, name)
  }
})

it('texts without vectors, and vectors that an embedder made', async () => {
  assert.deepEqual(decodeBatch(await readFile(fixture('texts.arrow'))), TEXTS)
  assert.deepEqual(decodeBatch(await readFile(fixture('project.arrow'))), PROJECT)
})

it('parts that tell where vectors come from', async () => {
  assert.deepEqual(await collect(readPointsPart(fixture('points.parquet'))), [POINTS])
})
