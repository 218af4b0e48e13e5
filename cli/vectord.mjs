#!/usr/bin/env node
/**
 * `vectord`: makes sure that this Node runs TypeScript, and hands over to `main.ts`.
 *
 * Plain JavaScript that every Node can read: an old one is told what it lacks in a sentence.
 */

const NEEDED = [22, 18]

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
  process.stderr.write(
    `vectord needs Node ${NEEDED.join('.')} or newer, and this is ${process.version}: run it with ` +
      '`npx vectord` in its folder after `npm ci`, which brings a newer one.\n',
  )
  process.exit(2)
}

// What Node calls experimental is pinned with Node itself; warnings would stand among the answers.
const emitWarning = process.emitWarning.bind(process)
process.emitWarning = (warning, ...rest) => {
  const [type] = rest
  const name = typeof type === 'object' && type !== null ? type.type : type
  if (name !== 'ExperimentalWarning') emitWarning(warning, ...rest)
}

const { main } = await import('./main.ts')
await main(process.argv.slice(2))
