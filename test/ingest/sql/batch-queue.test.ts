/** Batches between a driver and a reader: who waits for whom, and what the end leaves behind. */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { BatchQueue } from '../../../src/ingest/sql/batch-queue.ts'

const batch = { columns: [], rows: 1, cells: [] }

class CountingDriver {
  isPaused = false

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
  }
}

describe('BatchQueue', () => {
  it('pauses the driver while a batch waits for a reader that is busy', async () => {
    const driver = new CountingDriver()
    const queue = new BatchQueue(driver)
    queue.push(batch)
    assert.equal(driver.isPaused, true)
    assert.equal(await queue.next(), batch)
    const second = queue.next()
    assert.equal(driver.isPaused, false)
    queue.push(batch)
    assert.equal(await second, batch)
  })

  it('leaves the driver running at the end of a page whose last batch came to a busy reader', async () => {
    const driver = new CountingDriver()
    const queue = new BatchQueue(driver)
    queue.push(batch)
    queue.end(null)
    assert.equal(driver.isPaused, false)
    assert.equal(await queue.next(), batch)
    assert.equal(await queue.next(), null)
  })

  it('leaves a driver that failed as it is: its connection is closed', async () => {
    const driver = new CountingDriver()
    const queue = new BatchQueue(driver)
    queue.push(batch)
    queue.end(new Error('lost'))
    assert.equal(driver.isPaused, true)
    assert.equal(await queue.next(), batch)
    await assert.rejects(queue.next(), /lost/)
  })
})
