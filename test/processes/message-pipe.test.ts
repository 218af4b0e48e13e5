/**
 * Messages arrive whole and in order however the bytes are cut, and what is no message ends the pipe.
 */

import assert from 'node:assert/strict'
import { createServer, connect, type Socket } from 'node:net'
import { it, type TestContext } from 'node:test'
import { serialize } from 'node:v8'
import { MessagePipe } from '../../src/processes/message-pipe.ts'

interface Ends {
  readonly near: Socket
  readonly far: Socket
}

async function connected(t: TestContext): Promise<Ends> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
  const near = connect(address.port, '127.0.0.1')
  const far = await accepted
  t.after(() => {
    near.destroy()
    far.destroy()
    server.close()
  })
  return { near, far }
}

/** What a pipe on `socket` is told: resolves with the messages when it is closed. */
function told(socket: Socket): Promise<unknown[]> {
  return new Promise((resolve) => {
    const messages: unknown[] = []
    const onMessage = (message: unknown): void => {
      messages.push(message)
    }
    new MessagePipe(socket, { onMessage, onClose: () => resolve(messages) })
  })
}

function framed(message: unknown): Buffer {
  const body = serialize(message)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(body.byteLength)
  return Buffer.concat([length, body])
}

const MESSAGES = [
  { id: 1, texts: ['a', '\ud800', 'é'.repeat(100_000)] },
  null,
  [new Float32Array([1, -0, 0.1]), 'x'],
  '',
]

it('messages arrive whole and in order', async (t) => {
  const { near, far } = await connected(t)
  const received = told(far)
  const pipe = new MessagePipe(near, { onMessage: () => undefined, onClose: () => undefined })
  for (const message of MESSAGES) pipe.send(message)
  near.end()
  assert.deepEqual(await received, MESSAGES)
})

for (const bytes of [1, 3, 4, 5, 7, 1_000_000]) {
  it(`also when they come ${bytes} bytes at a time`, async (t) => {
    const { near, far } = await connected(t)
    near.setNoDelay(true)
    const received = told(far)
    const small = [MESSAGES[1], MESSAGES[2], MESSAGES[3]]
    const stream = Buffer.concat(small.map(framed))
    for (let at = 0; at < stream.length; at += bytes) {
      far.emit('data', stream.subarray(at, at + bytes))
    }
    near.end()
    assert.deepEqual(await received, small)
  })
}

it('what is no message ends the pipe, and nothing is made of it', async (t) => {
  for (const broken of [
    Buffer.concat([Buffer.from([4, 0, 0, 0]), Buffer.from('junk')]),
    Buffer.from([255, 255, 255, 255, 0]),
    framed('a').subarray(0, 5),
  ]) {
    const { near, far } = await connected(t)
    const received = told(far)
    near.write(framed('before'))
    near.end(broken)
    assert.deepEqual(await received, ['before'])
  }
})

it('sending to an end that is gone does nothing', async (t) => {
  const { near, far } = await connected(t)
  const received = told(near)
  const pipe = new MessagePipe(far, { onMessage: () => undefined, onClose: () => undefined })
  near.destroy()
  far.destroy()
  pipe.send('a')
  assert.deepEqual(await received, [])
})
