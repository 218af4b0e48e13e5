/** Failures of LanceDB are told by their texts, which are what it was seen to say. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { lanceCall } from '../../../src/engines/lance/lance-faults.ts'

it('a bucket that takes requests and answers none is one that cannot be reached', async () => {
  const said =
    'Invalid input, Failed to connect to namespace: IO { source: Generic { store: "S3", source: ' +
    'ListRequest { source: RetryError(RetryErrorImpl { method: GET, retries: 0, max_retries: 3, ' +
    'elapsed: 30.019591766s, retry_timeout: 10s, inner: Http(HttpError { kind: Timeout, source: ' +
    'reqwest::Error { kind: Request, source: TimedOut } }) }) } } }'
  await assert.rejects(
    lanceCall('docs', () => Promise.reject(new Error(said))),
    { code: 'bucket_unreachable', retryable: true },
  )
})
