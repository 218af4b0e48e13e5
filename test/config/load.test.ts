/**
 * The configuration is what the file and the environment say, or the service does not start.
 */

import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { loadConfig, parseConfig } from '../../src/config/load.ts'
import {
  camelName,
  environmentName,
  KEYS,
  type Config,
  type PlacedKey,
} from '../../src/config/schema.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { fuzzParameters } from '../support/fuzz.ts'

const CWD = '/somewhere'
const KEY_LINE = `keys = ["ops:admin:${'a'.repeat(64)}"]`

type Env = Readonly<Record<string, string>>

const parse = (text: string, env: Env = {}): Config =>
  parseConfig(text, { file: 'lakehouse.toml', env, cwd: CWD })

function refusal(text: string, env: Env = {}): VectordError {
  try {
    parse(text, env)
  } catch (error) {
    assert.ok(error instanceof VectordError, String(error))
    assert.equal(error.code, 'invalid_config')
    return error
  }
  assert.fail('it was accepted')
}

function valueOf(config: Config, { section, name }: PlacedKey): unknown {
  const sections: Readonly<Record<string, Readonly<Record<string, unknown>>>> = config
  return sections[section]?.[camelName(name)]
}

describe('sources', () => {
  it('without a file every key has its default', () => {
    const config = parse('')
    for (const placed of KEYS) {
      if (placed.key.kind === 'path') continue
      assert.deepEqual(valueOf(config, placed), placed.key.default, placed.name)
    }
    assert.equal(config.storage.root, '/somewhere/data')
    assert.equal(config.primary.credentialsFile, '')
  })

  it('lakehouse.toml as shipped says exactly the defaults', () => {
    assert.deepEqual(parse(readFileSync('lakehouse.toml', 'utf8')), parse(''))
  })

  it('the file overrides defaults, the environment overrides the file', () => {
    const text = '[server]\nport = 1\nhost = "127.0.0.2"'
    const config = parse(text, { VECTORD_SERVER_PORT: '0', VECTORD_LOGGING_PRETTY: 'never' })
    assert.equal(config.server.port, 0)
    assert.equal(config.server.host, '127.0.0.2')
    assert.equal(config.logging.pretty, 'never')
  })

  it('the file is the named one, else that of VECTORD_CONFIG, else lakehouse.toml here', () => {
    const folder = mkdtempSync(join(tmpdir(), 'vectord-config-'))
    try {
      for (const [file, port] of Object.entries({
        'a.toml': 1,
        'b.toml': 2,
        'lakehouse.toml': 3,
      })) {
        writeFileSync(join(folder, file), `[server]\nport = ${port}`)
      }
      const env = { VECTORD_CONFIG: 'b.toml' }
      assert.equal(loadConfig({ path: 'a.toml', env, cwd: folder }).server.port, 1)
      assert.equal(loadConfig({ env, cwd: folder }).server.port, 2)
      assert.equal(loadConfig({ env: {}, cwd: folder }).server.port, 3)
      rmSync(join(folder, 'lakehouse.toml'))
      assert.equal(loadConfig({ env: {}, cwd: folder }).server.port, 8600)
      assert.throws(() => loadConfig({ path: 'gone.toml', env: {}, cwd: folder }), /gone\.toml/)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('every key can be set by its environment variable', () => {
    for (const placed of KEYS) {
      const { key } = placed
      const text = key.kind === 'texts' ? key.default.join(',') : String(key.default)
      assert.deepEqual(
        valueOf(parse('', { [environmentName(placed)]: text }), placed),
        valueOf(parse(''), placed),
      )
    }
  })

  it('lists in the environment are divided by commas', () => {
    const keys = [`a:read:${'0'.repeat(64)}`, `b:write:${'1'.repeat(64)}:logs_|web`]
    assert.deepEqual(parse('', { VECTORD_AUTH_KEYS: keys.join(',') }).auth.keys, keys)
  })

  it('nobody can change it afterwards', () => {
    const config = parse(`[auth]\n${KEY_LINE}`)
    assert.ok(Object.isFrozen(config) && Object.isFrozen(config.server))
    assert.ok(Object.isFrozen(config.auth.keys))
  })
})

describe('unknown names', () => {
  it('an unknown key is refused with its line and the nearest known one', () => {
    const error = refusal('[server]\nhost = "127.0.0.1"\nprot = 8600')
    assert.match(error.message, /line 3: server\.prot .* nearest known key is server\.port\./)
    assert.equal(error.details['nearest'], 'server.port')
    assert.equal(error.details['line'], 3)
  })

  it('an unknown section is refused with the nearest known one', () => {
    assert.match(refusal('\n[serve]\nport = 1').message, /line 2: serve .* is server\./)
  })

  it('a key outside of its section is refused', () => {
    assert.match(refusal('port = 1').message, /line 1: port is unknown/)
    assert.match(refusal('server.prot = 1').message, /line 1: server\.prot is unknown/)
  })

  it('names of object properties are unknown keys too', () => {
    for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
      refusal(`[server]\n${name} = 1`)
      refusal(`[${name}]\nport = 1`)
    }
  })

  it('an unknown VECTORD_ variable is refused with the nearest known one', () => {
    const error = refusal('', { VECTORD_SERVER_PROT: '1' })
    assert.match(
      error.message,
      /VECTORD_SERVER_PROT is unknown; the nearest is VECTORD_SERVER_PORT/,
    )
  })

  it('other variables, and those of tests and tools, are left alone', () => {
    const env = { PATH: '/bin', VECTORD_TEST_REQUIRE_SERVICES: '1', VECTORD_MARCH: 'native' }
    assert.deepEqual(parse('', env), parse(''))
  })
})

describe('values', () => {
  const refused: readonly (readonly [string, RegExp])[] = [
    ['[server]\nport = "8600"', /line 2: server\.port must be a whole number from 0 to 65535/],
    ['[server]\nport = 8600.0', /server\.port must be a whole number/],
    ['[server]\nport = 65536', /server\.port/],
    ['[server]\nport = -1', /server\.port/],
    ['[server]\nport = 99999999999999999999', /server\.port|TOML/],
    ['[server]\nport = nan', /server\.port/],
    ['[server]\nport = 1979-05-27', /server\.port/],
    ['[server]\nport = []', /server\.port/],
    ['[server.port]\nx = 1', /server\.port/],
    ['[[server]]\nport = 1', /server must be a section/],
    ['server = 5', /server must be a section/],
    [
      '[recall]\ngoal = "0.9"',
      /line 2: recall\.goal must be a number from 0\.5 to 0\.999 \(share of the neighbours\)/,
    ],
    ['[recall]\ngoal = 1', /recall\.goal must be a number/],
    ['[recall]\ngoal = nan', /recall\.goal must be a number/],
    ['[recall]\ngoal = -inf', /recall\.goal must be a number/],
    ['[recall]\nsample_cpu_share = -0.1', /recall\.sample_cpu_share must be a number/],
    ['[recall]\nmax_sample_rate = 1979-05-27', /recall\.max_sample_rate must be a number/],
    ['[rescue]\nenabled = "yes"', /rescue\.enabled must be true or false/],
    ['[primary]\nbackend = "gcs"', /primary\.backend must be one of local, s3/],
    ['[primary]\nprefix = "/x"', /primary\.prefix must be empty, or a key prefix/],
    ['[primary]\nendpoint = "http://user:pass@host"', /primary\.endpoint must be/],
    ['[storage]\nroot = ""', /storage\.root must be a path/],
    ['[auth]\nkeys = "ops"', /auth\.keys must be a list/],
    ['[auth]\nkeys = ["ops:root:abc"]', /auth\.keys .* entry 1 is not/],
    ['[server\nport = 1', /line 1 is not TOML/],
    ['[server]\nport = 1\nport = 2', /line 3 is not TOML/],
  ]
  for (const [text, message] of refused) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.match(refusal(text).message, message)
    })
  }

  it('takes decimal numbers with and without a point, from the file and the environment', () => {
    assert.equal(parse('[recall]\ngoal = 0.975').recall.goal, 0.975)
    assert.equal(parse('[recall]\nsample_cpu_share = 1').recall.sampleCpuShare, 1)
    assert.equal(parse('[recall]\nsample_cpu_share = 1e-3').recall.sampleCpuShare, 0.001)
    const { recall } = parse('', {
      VECTORD_RECALL_GOAL: '0.975',
      VECTORD_RECALL_SAMPLE_CPU_SHARE: '0',
    })
    assert.deepEqual([recall.goal, recall.sampleCpuShare], [0.975, 0])
    for (const text of ['', '.9', '0.9 ', '9e-1', '+0.9', '0,9', 'NaN', '1.0', '0.9.9']) {
      refusal('', { VECTORD_RECALL_GOAL: text })
    }
  })

  it('refuses what the environment says wrongly, by the name of the variable', () => {
    for (const text of ['', 'x', '1e3', '0x10', ' 1', '65536']) {
      assert.match(refusal('', { VECTORD_SERVER_PORT: text }).message, /^VECTORD_SERVER_PORT must/)
    }
    for (const text of ['1', 'TRUE', 'constructor']) refusal('', { VECTORD_RESCUE_ENABLED: text })
  })

  it('never repeats a key of a client in a message', () => {
    const error = refusal('[auth]\nkeys = ["ops:admin:not-a-hash-but-the-secret"]')
    assert.doesNotMatch(error.message + JSON.stringify(error.details), /secret/)
  })
})

describe('rules between keys', () => {
  it('an S3 bucket needs a name, a local one has none', () => {
    refusal('[primary]\nbackend = "s3"')
    refusal('[primary]\nbucket = "lake"')
    refusal('[rescue]\nenabled = true\nbackend = "s3"')
    assert.equal(parse('[primary]\nbackend = "s3"\nbucket = "lake"').primary.bucket, 'lake')
  })
})

describe('a section within another', () => {
  const OLLAMA = '[embedders.ollama]\nurl = "http://127.0.0.1:11434"\n'

  it('is read like every other, in the file and in the environment', () => {
    const config = parse(`[embedders]\ncache_bytes = 0\n${OLLAMA}model = "nomic-embed-text"`, {
      VECTORD_EMBEDDERS_OLLAMA_BATCH_MAX: '7',
    })
    assert.equal(config.embedders.cacheBytes, 0)
    const { url, model, batchMax } = config['embedders.ollama']
    assert.deepEqual([url, model, batchMax], ['http://127.0.0.1:11434', 'nomic-embed-text', 7])
    assert.equal(config['embedders.openai'].url, '')
  })

  it('has its unknown keys and its own name refused with their place', () => {
    assert.match(
      refusal(`${OLLAMA}modle = "m"`).message,
      /line 3: embedders\.ollama\.modle .* is embedders\.ollama\.model\./,
    )
    assert.match(refusal('[embedders.olama]\nurl = ""').message, /line 1: embedders\.olama is unk/)
    assert.match(refusal('[embedders]\nollama = 5').message, /embedders\.ollama must be a section/)
    assert.match(refusal('embedders = 5').message, /embedders must be a section/)
  })

  it('names a server that can be an address, and both of address and model', () => {
    for (const url of [
      'ftp://h',
      'http://',
      'http://u:p@h',
      'http://h:99999',
      'http://h/?a',
      'h',
    ]) {
      refusal(`[embedders.ollama]\nurl = "${url}"`)
      refusal(`[embedders.openai]\nmodel = "m"\nurl = "${url}"`)
    }
    refusal('[embedders.ollama]\nmodel = "m"')
    refusal('[embedders.openai]\nmodel = "m"')
    refusal('[embedders.openai]\nurl = "https://api.openai.com"')
    assert.equal(parse(OLLAMA)['embedders.ollama'].model, '')
  })
})

describe('any text', () => {
  const word = fc.constantFrom(
    ...KEYS.flatMap(({ section, name }) => [section, name]),
    'x',
    '__proto__',
  )
  const value = fc.oneof(
    fc.integer().map(String),
    fc.double().map(String),
    fc.string().map((text) => JSON.stringify(text)),
    fc.constantFrom('true', '[]', '["a"]', '{ a = 1 }', '1979-05-27', 'inf', '"""', '[[[[', '\0'),
  )
  const line = fc.oneof(
    word.map((name) => `[${name}]`),
    fc.tuple(word, value).map(([name, text]) => `${name} = ${text}`),
    fc.tuple(word, word, value).map(([a, b, text]) => `${a}.${b} = ${text}`),
    fc.string(),
  )
  const document = fc.array(line, { maxLength: 8 }).map((lines) => lines.join('\n'))

  it('is either a configuration or invalid_config, never another failure', () => {
    let accepted = 0
    let refusals = 0
    fc.assert(
      fc.property(document, fc.dictionary(word, fc.string()), (text, variables) => {
        const env = Object.fromEntries(
          Object.entries(variables).map(([name, set]) => [`VECTORD_${name.toUpperCase()}`, set]),
        )
        try {
          assert.ok(Object.isFrozen(parse(text, Object.keys(env).length > 2 ? env : {})))
          accepted += 1
        } catch (error) {
          assert.ok(error instanceof VectordError && error.code === 'invalid_config', String(error))
          refusals += 1
        }
      }),
      fuzzParameters(2000),
    )
    assert.ok(accepted > 20 && refusals > 100, `${accepted} accepted, ${refusals} refused`)
  })

  it('deep nesting is refused and not walked', () => {
    refusal(`[server]\nport = ${'['.repeat(100_000)}`)
    refusal(`x = ${'{a='.repeat(50_000)}`)
  })
})
