/**
 * The commands that need no service: configuration, keys, completion, help.
 */

import assert from 'node:assert/strict'
import { execFile, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { it } from 'node:test'
import { promisify } from 'node:util'
import { parseApiKeys } from '../../src/http/auth.ts'
import { buildProgram } from '../../cli/program.ts'
import { vectord } from '../support/command-line.ts'
import { temporaryFolder } from '../support/service.ts'

const has = (program: string): boolean => spawnSync(program, ['--version']).status === 0

it('check-config names the line and the key of what is wrong', async (t) => {
  const folder = await temporaryFolder(t)
  const file = join(folder, 'odd.toml')
  await writeFile(file, '[server]\nport = 9000\nprot = 1\n')
  const unknown = await vectord(['check-config', file])
  assert.equal(unknown.code, 2)
  assert.match(unknown.out, /odd\.toml, line 3: server\.prot is unknown.*server\.port/)
  await writeFile(file, '[server]\nport = 99999\n')
  const range = await vectord(['check-config', file, '--json'])
  const told = JSON.parse(range.out) as { valid: boolean; error: { details: { key: string } } }
  assert.equal(told.valid, false)
  assert.equal(told.error.details.key, 'server.port')
  await writeFile(file, '[server]\nhost = "0.0.0.0"\n')
  assert.match((await vectord(['check-config', file])).out, /needs an API key/)
  await writeFile(file, '[auth]\nkeys = ["x:admin:abc"]\n')
  const key = await vectord(['check-config', file])
  assert.match(key.out, /auth\.keys must be a list/)
  assert.equal((await vectord(['check-config', join(folder, 'none')])).code, 2)
  await writeFile(file, '[server]\nport = 9000\n')
  const env = { VECTORD_URL: 'http://x', VECTORD_API_KEY: 'k' }
  assert.equal((await vectord(['check-config', file], { env })).code, 0)
  const wrong = await vectord(['check-config', file], { env: { VECTORD_SERVER_PORT: 'x' } })
  assert.match(wrong.out, /VECTORD_SERVER_PORT must be/)
})

it('keys create makes a secret that the line of the configuration knows, anew each time', async () => {
  const args = ['keys', 'create', 'ops', '--role', 'write', '--prefix', 'a-', 'b-', '--json']
  const [one, two] = await Promise.all([vectord(args), vectord(args)])
  const made = JSON.parse(one.out) as { key: string; line: string }
  const [key] = parseApiKeys([made.line])
  assert.deepEqual(key?.digest, createHash('sha256').update(made.key).digest())
  assert.deepEqual(key.prefixes, ['a-', 'b-'])
  assert.equal(key.role, 'write')
  assert.ok(!made.line.includes(made.key))
  assert.notEqual((JSON.parse(two.out) as { key: string }).key, made.key)
  const plain = await vectord(['keys', 'create', 'ops'])
  assert.match(plain.out, /^vectord_[\w-]{43}\nops:read:[0-9a-f]{64}\n$/)
  assert.equal((await vectord(['keys', 'create', 'a:b'])).code, 2)
  assert.equal((await vectord(['keys', 'create', 'a', '--role', 'god'])).code, 2)
})

it('serve becomes the service, and ends as it ends', async (t) => {
  const root = await temporaryFolder(t)
  const program = resolve(import.meta.dirname, '../../cli/vectord.mjs')
  const env = { PATH: process.env['PATH'], VECTORD_STORAGE_ROOT: root, VECTORD_SERVER_PORT: '0' }
  const child = spawn(process.execPath, [program, 'serve'], { env, cwd: root })
  t.after(() => child.kill('SIGKILL'))
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.includes('"listening"')) break
  }
  child.kill('SIGTERM')
  const [code] = (await once(child, 'exit')) as [number | null]
  assert.equal(code, 0)
  const wrong = await vectord(['serve', '--config', 'nowhere.toml'], { cwd: root })
  assert.equal(wrong.code, 1)
  assert.match(wrong.err, /nowhere\.toml cannot be read/)
})

it('every command has help with examples, and says what is wrong with its use', async () => {
  const { commands } = buildProgram()
  assert.ok(commands.length >= 14)
  for (const command of commands.flatMap((one) => (one.name() === 'keys' ? one.commands : [one]))) {
    let help = ''
    command.configureOutput({
      writeOut: (text) => {
        help += text
      },
    })
    command.outputHelp()
    assert.match(help, /Examples:\n {2}(vectord|source) /, command.name())
  }
  assert.match((await vectord(['--help'])).out, /Exit codes:/)
  const unknown = await vectord(['serach'])
  assert.equal(unknown.code, 2)
  assert.match(unknown.err, /Did you mean search\?/)
  assert.equal((await vectord(['search', 'i', '--nonsense'])).code, 2)
  assert.match((await vectord(['--version'])).out, /^\d+\.\d+\.\d+\n$/)
})

it('an output that nobody reads any more ends it quietly', async () => {
  const script = 'node cli/vectord.mjs completion fish | true; echo "${PIPESTATUS[0]}"'
  const { stdout, stderr } = await promisify(execFile)('bash', ['-c', script])
  assert.match(stdout, /^(0|141)\n$/)
  assert.equal(stderr, '')
})

it('bash completes commands, options and their values', async () => {
  const { out } = await vectord(['completion', 'bash'])
  const complete = async (...words: readonly string[]): Promise<string[]> => {
    const list = words.map((word) => `'${word}'`).join(' ')
    const script = `${out}\nCOMP_WORDS=(${list}); COMP_CWORD=${words.length - 1}; _vectord
      printf '%s\\n' "\${COMPREPLY[@]}"`
    const { stdout } = await promisify(execFile)('bash', ['-c', script])
    return stdout.split('\n').filter((word) => word !== '')
  }
  assert.deepEqual(await complete('vectord', 'se'), ['serve', 'search'])
  assert.deepEqual(await complete('vectord', 'buckets', 're'), ['remove'])
  assert.deepEqual(await complete('vectord', 'search', 'films', '--ve'), ['--vector'])
  assert.deepEqual(await complete('vectord', 'search', 'films', '--mode', 'k'), ['keyword'])
  assert.deepEqual(await complete('vectord', 'keys', 'create', '--role', ''), [
    ...['read', 'write', 'admin'],
  ])
  assert.deepEqual(await complete('vectord', 'completion', ''), ['bash', 'zsh', 'fish', '--help'])
})

it(
  'the scripts for zsh and fish can be read by them',
  { skip: !has('zsh') && !has('fish') },
  async () => {
    for (const shell of ['zsh', 'fish'].filter(has)) {
      const { out } = await vectord(['completion', shell])
      assert.equal(spawnSync(shell, ['-n'], { input: out }).status, 0, shell)
    }
  },
)
