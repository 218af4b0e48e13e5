/** New points that come while the embedder is at work on older ones. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { OLD, openProjection, textsOf } from './projection-world.ts'

it('new points that come while backfill is embedded go before what is left of it', async (t) => {
  const { projection, index, embedder, pass } = openProjection(t)
  index.writeOld(textsOf('old', 40), OLD)
  const held = Promise.withResolvers<undefined>()
  embedder.at = (stage) => (stage === 'embed' ? held.promise : Promise.resolve())
  projection.start()
  await pass(0)
  index.write(textsOf('new', 3))
  await pass(0)
  held.resolve(undefined)
  await pass(0)
  assert.deepEqual(
    embedder.calls.map(([first]) => first),
    ['text old0', 'text new0', 'text old32'],
  )
})
