/**
 * The client knows the API as it is, and needs nothing but what every runtime has.
 */

import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { it } from 'node:test'
import { API_TYPES_FILE, renderApiTypes } from './api-types-text.ts'

it('client/api-types.ts is what the service says of itself', async () => {
  const current = readFileSync(API_TYPES_FILE, 'utf8')
  assert.ok(current === (await renderApiTypes()), 'run: npm run client:types')
})

it('the client imports nothing but itself, and uses nothing that only Node has', () => {
  const files = globSync('client/*.ts').filter((file) => file !== API_TYPES_FILE)
  assert.ok(files.length > 5)
  for (const file of files) {
    const text = readFileSync(file, 'utf8')
    for (const [, from] of text.matchAll(/\bfrom '([^']+)'/g))
      assert.match(from ?? '', /^\.\//, file)
    assert.doesNotMatch(text, /\b(Buffer|process)\.|\brequire\(|\bfrom 'node:/, file)
  }
})
