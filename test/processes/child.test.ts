/**
 * Child processes: they talk over their channel, say how they ended, and never outlive us.
 */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { startChild, type Child, type ChildExit } from '../../src/processes/child.ts'

const ECHO_CHILD = new URL('echo-child.ts', import.meta.url)

function start(arg: string, module = ECHO_CHILD): { child: Child; exit: Promise<ChildExit> } {
  const { promise: exit, resolve } = Promise.withResolvers<ChildExit>()
  return { child: startChild({ module, args: [arg], onExit: resolve }), exit }
}

async function answer(child: Child, text: string): Promise<string> {
  const answered = once(child.channel, 'data') as Promise<[Buffer]>
  child.channel.write(text)
  const [chunk] = await answered
  return chunk.toString('utf8')
}

/** A process that has ended and that nobody has asked about yet (a zombie) is not alive. */
function lives(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !/\) Z /.test(stat)
  } catch {
    return false
  }
}

it('parent and child talk over the channel, and the child ends with it', async () => {
  const { child, exit } = start('echo')
  assert.equal(await answer(child, 'hello'), 'hello')
  child.channel.destroy()
  assert.equal((await exit).exitCode, 3)
})

it('signals to the group do not end a child: its parent decides', async () => {
  const { child, exit } = start('echo')
  await answer(child, 'ready')
  assert.ok(child.pid !== undefined)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(child.pid, signal)
  assert.equal(await answer(child, 'still here'), 'still here')
  child.kill()
  assert.equal((await exit).signal, 'SIGKILL')
})

it('a child that crashes answers what it had, then says why it ended', async () => {
  const { child, exit } = start('crash')
  assert.equal(await answer(child, 'x'), 'x')
  const { exitCode, signal, stderr } = await exit
  assert.deepEqual([exitCode, signal], [1, null])
  assert.match(stderr, /the reason of the crash/)
  child.kill()
})

it('a module that cannot be loaded ends its child, not us', async () => {
  const { exit } = start('', new URL('no-such-module.ts', import.meta.url))
  const { exitCode, stderr } = await exit
  assert.equal(exitCode, 1)
  assert.match(stderr, /no-such-module/)
})

it('kill -9 of the parent leaves no child behind, not even one that hangs', async () => {
  const parent = spawn(process.execPath, [new URL('parent.ts', import.meta.url).pathname], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(parent.stdout, 'data')) as [Buffer]
  const pids = JSON.parse(line.toString('utf8')) as number[]
  assert.equal(pids.length, 2)
  assert.deepEqual(pids.map(lives), [true, true])
  parent.kill('SIGKILL')
  while (pids.some(lives)) await delay(5)
})
