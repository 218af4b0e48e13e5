/** Whatever a password is: it is in nothing that is told, and what is told stays whole. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { IngestJob } from '../../src/ingest/ingest-job.ts'
import { detailsWithoutSecrets, withoutSecrets } from '../../src/ingest/secrets.ts'

function jobWith(password: string): Pick<IngestJob, 'source'> {
  const dsn = `postgres://someone:${encodeURIComponent(password)}@db.example.org/shop`
  const query = { select: { table: 't' }, key: null, after: null, batchRows: 1 }
  return { source: { kind: 'sql', dsn, query } }
}

const DETAILS = { host: 'db', port: 3306, server_code: 1045, is_known: true, rows: [1, null] }

it('a password with marks of its own is found in a text and in every detail', () => {
  for (const password of ['pa"ss', 'back\\slash', 'line\nfeed', '":"', 'ü%41', '{}}']) {
    const job = jobWith(password)
    const told = `refused ${password} and ${encodeURIComponent(password)}`
    assert.equal(withoutSecrets(told, job), 'refused *** and ***')
    const details = { ...DETAILS, near: told, deep: [{ more: [told] }] }
    assert.deepEqual(detailsWithoutSecrets(details, job), {
      ...{ ...DETAILS, near: 'refused *** and ***' },
      deep: [{ more: ['refused *** and ***'] }],
    })
  }
})

it('a password that is a number or the name of a detail changes neither', () => {
  for (const password of ['330', 'port', 'true', 'null', 'message']) {
    assert.deepEqual(detailsWithoutSecrets(DETAILS, jobWith(password)), DETAILS)
  }
})
