/**
 * A child for tests: it sends back what it gets, and does what its argument says.
 *
 *     echo | crash | hang
 */

import { openParentLink } from '../../src/processes/parent-link.ts'

const channel = openParentLink()
channel.on('data', (chunk: Buffer) => {
  channel.write(chunk)
  if (process.argv[2] === 'crash') throw new Error('the reason of the crash')
  if (process.argv[2] === 'hang') for (;;);
})
channel.on('close', () => process.exit(3))
