/**
 * The README's tour works as it is written.
 *
 * How: every `sh tour` block of the README runs in one shell against a fresh server; each curl must
 * succeed, and its JSON answer must not be an error. The port is the only thing that is replaced.
 */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { it } from 'node:test'
import { promisify } from 'node:util'
import { startService, temporaryFolder } from '../support/service.ts'

const run = promisify(execFile)

it('every curl line of the tour is answered with success', async (t) => {
  const readme = await readFile('README.md', 'utf8')
  const blocks = [...readme.matchAll(/^```sh tour\n([\s\S]*?)^```$/gm)].map(([, block]) => block)
  assert.ok(blocks.length >= 5, 'the README has a tour')
  const root = await temporaryFolder(t)
  let service = await startService(root)
  t.after(() => service.kill())
  await service.ready()
  for (const block of blocks) {
    assert.ok(block !== undefined)
    if (block.includes('kill -9')) {
      await service.kill()
      service = await startService(root)
      await service.ready()
      continue
    }
    const script = block
      .replaceAll('http://127.0.0.1:8600', service.url)
      .replaceAll('curl -s', 'curl -s --fail-with-body')
    const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', script])
    assert.doesNotMatch(stdout, /"error":\{/, block)
    for (const expected of block.matchAll(/^# → .*?`([^`]+)`/gm)) {
      assert.ok(stdout.includes(expected[1] ?? ''), `${block}\nanswered ${stdout}`)
    }
  }
})
