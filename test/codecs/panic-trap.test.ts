/** Panics are told to whoever waits; anything else that is uncaught ends the process as ever. */

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { trapPanics } from '../../src/codecs/panic-trap.ts'

const TRAP = new URL('../../src/codecs/panic-trap.ts', import.meta.url).href

function never(cause: Error): void {
  throw cause
}

function outcome(thrown: string): { readonly status: number | null; readonly stdout: string } {
  const script = `
    import { trapPanics } from ${JSON.stringify(TRAP)}
    const told = []
    const failing = Promise.withResolvers()
    setTimeout(() => { ${thrown} }, 1)
    await trapPanics(
      () => Promise.race([failing.promise, new Promise((done) => setTimeout(done, 300))]),
      (cause) => { told.push(cause.message); failing.resolve() },
    )
    console.log(told.join() || 'nothing')`
  const args = ['--input-type=module', '-e', script]
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  return { status, stdout: stdout.trim() }
}

it('a panic is told, and the process goes on', () => {
  const panic = `throw new WebAssembly.RuntimeError('unreachable')`
  assert.deepEqual(outcome(panic), { status: 0, stdout: 'unreachable' })
})

it('another error ends the process', () => {
  const { status, stdout } = outcome(`throw new Error('a bug')`)
  assert.deepEqual([status, stdout], [1, ''])
})

it('what is waited for comes through, and the trap is shut behind the last who waits', async () => {
  const both = await Promise.all([
    trapPanics(() => sleep(1, 'a'), never),
    trapPanics(() => sleep(5, 'b'), never),
  ])
  assert.deepEqual(both, ['a', 'b'])
  assert.equal(process.hasUncaughtExceptionCaptureCallback(), false)
  await assert.rejects(
    trapPanics(() => Promise.reject(new Error('no')), never),
    /no/,
  )
  assert.equal(process.hasUncaughtExceptionCaptureCallback(), false)
})
