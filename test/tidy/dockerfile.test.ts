/** The check of the Dockerfile passes it, and finds what would break an image. */

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import description from '../../package.json' with { type: 'json' }

const DOCKERFILE = readFileSync('Dockerfile', 'utf8')

/** Runs the check over `dockerfile` with the modules that are here. */
function check(t: TestContext, dockerfile: string): { status: number | null; output: string } {
  const folder = mkdtempSync(join(tmpdir(), 'vectord-dockerfile-'))
  t.after(() => {
    rmSync(folder, { recursive: true })
  })
  const file = join(folder, 'Dockerfile')
  writeFileSync(file, dockerfile)
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['scripts/check-dockerfile.mjs', '--file', file, '--modules', 'node_modules'],
    { encoding: 'utf8' },
  )
  return { status, output: stdout + stderr }
}

function without(line: RegExp): string {
  assert.match(DOCKERFILE, line)
  return DOCKERFILE.replace(line, '')
}

/** With a line that is reached before anything is installed. */
function early(line: string): string {
  return DOCKERFILE.replace('WORKDIR /app\n', `WORKDIR /app\n${line}\n`)
}

it('the image starts without root, is healthy, writes, finds and ends with 0', (t) => {
  const { status, output } = check(t, DOCKERFILE)
  assert.equal(status, 0, output)
  assert.match(output, /built, healthy, wrote, found, ended with 0/)
})

it('the image starts the service as npm start does', () => {
  const [, command] = /^CMD (.*)$/m.exec(DOCKERFILE) ?? []
  assert.equal((JSON.parse(command ?? '[]') as string[]).join(' '), description.scripts.start)
})

it('a COPY that misses what the service needs fails the check', (t) => {
  const { status, output } = check(t, without(/^COPY routes routes$/m))
  assert.equal(status, 1, output)
  assert.match(output, /does not get healthy[^]*ERR_MODULE_NOT_FOUND/)
})

for (const [what, dockerfile, message] of [
  ['what .dockerignore leaves out', early('COPY test test'), /COPY finds no test/],
  ['a command that it does not know', early('RUN make'), /does not know how to run: make/],
  ['an unpinned image', DOCKERFILE.replaceAll(/node:24[\d.]*/g, 'node:24'), /not pinned/],
  ['root', without(/^USER node$/m), /USER is root/],
  ['no health check', without(/^HEALTHCHECK[^]*?CMD.*\n/m), /HEALTHCHECK/],
  ['a shell between', DOCKERFILE.replace(/^CMD .*$/m, 'CMD node src/server.ts'), /exec form/],
  ['a secret', `${DOCKERFILE}\nENV API_KEY=1234\n`, /secret/],
  ['another port', DOCKERFILE.replace('EXPOSE 8600', 'EXPOSE 80'), /EXPOSE/],
  ['no certificates', DOCKERFILE.replace('ca-certificates', 'curl'), /ca-certificates/],
  ['npm install', DOCKERFILE.replace('npm ci', 'npm install'), /npm ci/],
  ['ADD', DOCKERFILE.replace('COPY src src', 'ADD src src'), /ADD/],
] as const) {
  it(`the check refuses ${what}`, (t) => {
    const { status, output } = check(t, dockerfile)
    assert.equal(status, 1, output)
    assert.match(output, message)
  })
}
