/**
 * A parent for tests: it starts one child that hangs and one that does not, says their process ids
 * once both have answered, and stays until it is killed.
 */

import { startChild } from '../../src/processes/child.ts'

const module = new URL('echo-child.ts', import.meta.url)
const children = ['echo', 'hang'].map((arg) =>
  startChild({ module, args: [arg], onExit: () => undefined }),
)
await Promise.all(
  children.map(
    (child) =>
      new Promise((resolve) => {
        child.channel.once('data', resolve)
        child.channel.write('ping')
      }),
  ),
)
process.stdout.write(`${JSON.stringify(children.map(({ pid }) => pid))}\n`)
