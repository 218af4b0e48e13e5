/** What /dashboard answers, without a browser: policy, caching, names that are not there, no build. */

import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { dashboardRoutes } from '../../routes/dashboard.ts'
import { parseApiKeys } from '../../src/http/auth.ts'
import { keyLine, openApp, type TestApp } from '../support/http-app.ts'
import { temporaryFolder } from '../support/service.ts'

const SCRIPT = 'console.log(1)\n'.repeat(100)
const PAGE = '<!doctype html><script src="/dashboard/assets/a-1.js"></script>'

interface World extends TestApp {
  readonly folder: string
}

async function open(t: TestContext): Promise<World> {
  const folder = join(await temporaryFolder(t), 'dist')
  const app = await openApp(t, { keys: parseApiKeys([keyLine('r', 'read', 'secret')]) })
  await app.app.register(dashboardRoutes, { folder })
  return { ...app, folder }
}

async function build(folder: string): Promise<void> {
  await mkdir(join(folder, 'assets'), { recursive: true })
  await writeFile(join(folder, 'index.html'), PAGE)
  await writeFile(join(folder, 'assets/a-1.js'), SCRIPT)
  await writeFile(join(folder, '../outside.txt'), 'not to be read')
}

it('503: without a build the page says what to run; built later, it is there', async (t) => {
  const { send, folder } = await open(t)
  const missing = await send('GET', '/dashboard')
  assert.equal(missing.status, 503)
  assert.match(missing.text, /<pre>npm ci<\/pre>/)
  assert.match(String(missing.headers['content-type']), /^text\/html/)
  await build(folder)
  const page = await send('GET', '/dashboard')
  assert.deepEqual([page.status, page.text], [200, PAGE])
})

it('200: pages need no key, run nothing but files of this origin, and are asked after', async (t) => {
  const { send, folder } = await open(t)
  await build(folder)
  for (const path of ['/dashboard', '/dashboard/indexes/x/history', '/dashboard/index.htm']) {
    const { status, headers, text } = await send('GET', path)
    assert.deepEqual([status, text], [200, PAGE], path)
    const policy = String(headers['content-security-policy'])
    assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/)
    assert.match(policy, /base-uri 'none'; frame-ancestors 'none'; form-action 'none'$/)
    assert.doesNotMatch(policy, /unsafe|\*|http/)
    assert.equal(headers['cache-control'], 'no-cache')
    assert.equal(headers['x-content-type-options'], 'nosniff')
  }
  const root = await send('GET', '/')
  assert.deepEqual([root.status, root.headers['location']], [302, '/dashboard'])
})

it('200: files with a hash in their name are kept for ever, and smaller where that is taken', async (t) => {
  const { app, send, folder } = await open(t)
  await build(folder)
  await send('GET', '/dashboard')
  const plain = await send('GET', '/dashboard/assets/a-1.js')
  assert.deepEqual([plain.status, plain.text], [200, SCRIPT])
  assert.equal(plain.headers['cache-control'], 'public, max-age=31536000, immutable')
  assert.match(String(plain.headers['content-type']), /^text\/javascript/)
  const headers = { 'accept-encoding': 'gzip, br' }
  const small = await app.inject({ url: '/dashboard/assets/a-1.js', headers })
  assert.equal(small.headers['content-encoding'], 'gzip')
  assert.equal(gunzipSync(small.rawPayload).toString(), SCRIPT)
  assert.ok(small.rawPayload.length < SCRIPT.length / 5)
})

it('304: what is known already is not sent again', async (t) => {
  const { send, folder } = await open(t)
  await build(folder)
  const { headers } = await send('GET', '/dashboard')
  const known = { 'if-none-match': String(headers['etag']) }
  const again = await send('GET', '/dashboard', undefined, known)
  assert.deepEqual([again.status, again.text], [304, ''])
  const other = await send('GET', '/dashboard', undefined, { 'if-none-match': '"other"' })
  assert.equal(other.status, 200)
})

it('404: only built files are there, whatever the path says', async (t) => {
  const { send, folder } = await open(t)
  await build(folder)
  await send('GET', '/dashboard')
  for (const path of [
    '/dashboard/assets/b-2.js',
    '/dashboard/assets/../../outside.txt',
    '/dashboard/assets/..%2f..%2foutside.txt',
    '/dashboard/assets/%2e%2e/index.html',
    '/dashboard/index.html',
  ]) {
    const { status, text } = await send('GET', path)
    assert.doesNotMatch(text, /not to be read/, path)
    if (status !== 404) assert.equal(text, PAGE, path)
  }
  assert.equal((await send('GET', '/dashboard/assets/b-2.js')).code, 'route_not_found')
})
