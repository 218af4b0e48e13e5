/**
 * The part of the contract of `SqlSource` that is about what goes wrong: lost connections, wrong
 * accounts and names, reads that end early, and TLS.
 */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { it, type TestContext } from 'node:test'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { runIngest } from '../../../src/ingest/run-ingest.ts'
import type { VectordError } from '../../../src/lib/errors.ts'
import { collect } from '../../support/collect.ts'
import { ACCOUNT } from '../../support/sql-server.ts'
import {
  newTable,
  NO_SIGNAL,
  openSource,
  queryOf,
  readRows,
  type SqlWorld,
  throughProxy,
  until,
} from './sql-world.ts'

export function sqlFaultCases(world: SqlWorld): void {
  lossCases(world)
  errorCases(world)
  endCases(world)
  tlsCases(world)
}

function lossCases(world: SqlWorld): void {
  const { server, run } = world
  const rowsOfTable = 5000
  const table = newTable()

  it('a connection that is lost anywhere costs no row and gives none twice, with a key', async (t) => {
    await world.fill(table, { rows: rowsOfTable, bytes: 200 })
    const { proxy, dsn } = await throughProxy(t, world)
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(400_000), { minLength: 1, maxLength: 3 }), async (cuts) => {
        const source = openSource(t, dsn, { pageRows: 700 })
        const before = proxy.connections
        const ids: unknown[] = []
        const query = queryOf({ select: { table }, key: 'id', batchRows: 100 })
        let lost = 0
        for await (const batch of source.read(query, NO_SIGNAL)) {
          ids.push(...(batch.cells[0] ?? []))
          const cut = cuts[lost]
          if (cut !== undefined && proxy.breakAtByte === Number.POSITIVE_INFINITY) {
            proxy.breakAtByte = proxy.bytes + cut
            lost += 1
          }
        }
        proxy.breakAtByte = Number.POSITIVE_INFINITY
        assertCountsTo(ids, rowsOfTable)
        assert.ok(proxy.connections > before + 1, 'a connection was lost')
      }),
      { numRuns: 12 },
    )
  })

  it('without a key a lost connection is an error that may be tried again', async (t) => {
    const { proxy, dsn } = await throughProxy(t, world)
    const source = openSource(t, dsn)
    let rows = 0
    const reading = readRows(source, { select: { table }, batchRows: 100 }, (batch) => {
      if (rows === 0) proxy.break()
      rows += batch.rows
    })
    await assert.rejects(reading, { code: 'source_unreachable', retryable: true })
    assert.ok(rows >= 100 && rows < rowsOfTable)
  })

  it('a server that stays away is an error after so many tries', async (t) => {
    const { proxy, dsn } = await throughProxy(t, world)
    const reconnect = { tries: 3, waitMs: 1, waitMaxMs: 10 }
    const source = openSource(t, dsn, { reconnect, pageRows: 500 })
    const reading = readRows(source, { select: { table }, key: 'id', batchRows: 100 }, () => {
      proxy.isDown = true
      proxy.break()
    })
    await assert.rejects(reading, { code: 'source_unreachable' })
  })

  it('a server that restarts in the middle is read on, with a key', async (t) => {
    const source = openSource(t, server.dsn(), {
      pageRows: 500,
      reconnect: { tries: 20, waitMs: 50, waitMaxMs: 500 },
    })
    const ids: unknown[] = []
    const query = queryOf({ select: { table }, key: 'id', batchRows: 100 })
    for await (const batch of source.read(query, NO_SIGNAL)) {
      if (ids.length === 1000) {
        await server.stop()
        await server.start()
      }
      ids.push(...(batch.cells[0] ?? []))
    }
    assertCountsTo(ids, rowsOfTable)
    assert.equal((await run('SELECT 1')).length, 1)
  })
}

/** It takes connections, and says nothing on them. */
async function silentServer(
  t: TestContext,
): Promise<{ readonly port: number; readonly connected: Promise<unknown> }> {
  const silent = createServer()
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.after(() => silent.close())
  const address = silent.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  return { port, connected: once(silent, 'connection') }
}

/** 1, 2, 3 and so on. */
function assertCountsTo(ids: readonly unknown[], count: number): void {
  const wrong = ids.findIndex((id, index) => id !== BigInt(index + 1))
  assert.equal(wrong, -1, `place ${wrong} has ${String(ids[wrong])}`)
  assert.equal(ids.length, count)
}

function errorCases(world: SqlWorld): void {
  const { server } = world
  const select = { query: 'SELECT 1 AS one' }

  it('a wrong password is source_auth_failed, and no error shows one', async (t) => {
    const wrong = 'wrong-secret:/@ü'
    const dsn = server
      .dsn()
      .replace(encodeURIComponent(ACCOUNT.password), encodeURIComponent(wrong))
    const source = openSource(t, dsn)
    const error: unknown = await readRows(source, { select }).catch((thrown: unknown) => thrown)
    assert.equal((error as VectordError).code, 'source_auth_failed')
    for (const secret of [wrong, encodeURIComponent(wrong), 'wrong-secret']) {
      assert.ok(!inspect(error, { depth: 10 }).includes(secret))
      assert.ok(!JSON.stringify(error).includes(secret))
      assert.ok(!source.redactedDsn.includes(secret))
    }
  })

  it('an error that repeats what was asked does not show the password', async (t) => {
    const query = `SELECT ${ACCOUNT.password.replace(/[^a-z]/g, '_')} + '${ACCOUNT.password}' FROM none`
    const error: unknown = await readRows(openSource(t, server.dsn()), { select: { query } }).catch(
      (thrown: unknown) => thrown,
    )
    assert.ok(error instanceof Error)
    assert.ok(!inspect(error, { depth: 10 }).includes(ACCOUNT.password))
  })

  it('what is not there is source_not_found, and is named', async (t) => {
    await assert.rejects(readRows(openSource(t, server.dsn('', 'no_database')), { select }), {
      code: 'source_not_found',
      message: /no_database/,
    })
    const source = openSource(t, server.dsn())
    for (const missing of [
      { table: 'no_table' },
      { table: 'no_table', schema: 'no_schema' },
      { table: 'known', columns: ['no_column'] },
      { query: 'SELECT x FROM no_table' },
      { query: 'SELECT no_column FROM known' },
    ]) {
      await world.run('CREATE TABLE IF NOT EXISTS known (id int)')
      await assert.rejects(readRows(source, { select: missing }), {
        code: 'source_not_found',
        message: /no_(table|schema|column)/,
      })
    }
  })

  it('a port where nobody listens, or nobody answers, is source_unreachable soon', async (t) => {
    const silentPort = (await silentServer(t)).port
    for (const port of [1, silentPort]) {
      const dsn = server.dsn('?connect_timeout=1').replace(`:${server.port}/`, `:${port}/`)
      const start = Date.now()
      // A key does not help: the server was never reached.
      await assert.rejects(readRows(openSource(t, dsn), { select, key: 'one' }), {
        code: 'source_unreachable',
        retryable: true,
      })
      assert.ok(Date.now() - start < 8000)
    }
  })
}

function endCases(world: SqlWorld): void {
  const { server } = world

  it('an abort ends the query on the server, at once', async (t) => {
    const source = openSource(t, server.dsn())
    const stop = new AbortController()
    const query = world.slowQuery(60, 'aborted_by_signal')
    const reading = collect(source.read(queryOf({ select: { query } }), stop.signal))
    await until('the query runs', async () => (await world.running('aborted_by_signal')) > 0)
    const reason = new Error('no longer wanted')
    stop.abort(reason)
    await assert.rejects(reading, (error) => error === reason)
    // It was told to; it looks for that now and then.
    await until('the query ends', async () => (await world.running('aborted_by_signal')) === 0)
    await until('the connections are gone', async () => (await world.connections()) === 0)
  })

  it('close ends the query too, and so does a reader that stops', async (t) => {
    const source = openSource(t, server.dsn())
    const query = world.slowQuery(60, 'ended_by_close')
    const reading = collect(source.read(queryOf({ select: { query } }), NO_SIGNAL))
    await until('the query runs', async () => (await world.running('ended_by_close')) > 0)
    await source.close()
    await assert.rejects(reading, { code: 'operation_cancelled' })
    await until('the query ends', async () => (await world.running('ended_by_close')) === 0)
    await assert.rejects(readRows(source, { select: { query: 'SELECT 1 AS one' } }), {
      code: 'operation_cancelled',
    })

    const table = newTable()
    await world.fill(table, { rows: 20_000, bytes: 1000 })
    const another = openSource(t, server.dsn())
    for await (const batch of another.read(queryOf({ select: { table } }), NO_SIGNAL)) {
      assert.equal(batch.rows, 1000)
      break
    }
    await until('the connections are gone', async () => (await world.connections()) === 0)
  })

  it('a part that cannot be written ends the read, with rows left', async () => {
    const table = newTable()
    await world.fill(table, { rows: 20_000, bytes: 1000 })
    const query = queryOf({ select: { table } })
    const job = {
      source: { kind: 'sql', dsn: server.dsn(), query },
      ...{ partsFolder: `${server.folder}/none`, appendTo: null, points: null },
    } as const
    const out = {
      points: () => Promise.resolve(),
      part: () => Promise.resolve(),
      progress: () => undefined,
    }
    await assert.rejects(runIngest(job, out, NO_SIGNAL), { code: 'ENOENT' })
    await until('the connections are gone', async () => (await world.connections()) === 0)
  })

  it('an abort before the start, and while connecting, is kept', async (t) => {
    const aborted = AbortSignal.abort(new Error('early'))
    const source = openSource(t, server.dsn())
    await assert.rejects(collect(source.read(queryOf({}), aborted)), { message: 'early' })
    const { port, connected } = await silentServer(t)
    const waiting = openSource(t, server.dsn().replace(`:${server.port}/`, `:${port}/`))
    const stop = new AbortController()
    const reading = collect(waiting.read(queryOf({}), stop.signal))
    await connected
    stop.abort(new Error('late'))
    await assert.rejects(reading, { message: 'late' })
  })
}

function tlsCases(world: SqlWorld): void {
  const { server } = world
  const select = { query: 'SELECT 1 AS one' }
  const skip = server.hasTls ? false : 'the machine has no openssl'

  it('TLS is as strict as the DSN says', { skip }, async (t) => {
    const [ca, stranger] = [`${server.folder}/ca.pem`, `${server.folder}/stranger.pem`]
    const good = [
      '?sslmode=disable',
      '?sslmode=prefer',
      '?sslmode=require',
      `?sslmode=verify-ca&sslrootcert=${encodeURIComponent(ca)}`,
      `?ssl-mode=VERIFY_CA&ssl-ca=${encodeURIComponent(ca)}`,
    ]
    for (const parameters of good) {
      const rows = await readRows(openSource(t, server.dsn(parameters)), { select })
      assert.deepEqual(rows, [[1]], parameters)
    }
    const byName = (parameters: string): string =>
      server.dsn(parameters).replace('@127.0.0.1:', '@localhost:')
    const full = `?sslmode=verify-full&sslrootcert=${encodeURIComponent(ca)}`
    assert.deepEqual(await readRows(openSource(t, byName(full)), { select }), [[1]])
    const bad = [
      '?sslmode=verify-ca',
      `?sslmode=verify-ca&sslrootcert=${encodeURIComponent(stranger)}`,
      `?sslmode=verify-full&sslrootcert=${encodeURIComponent(stranger)}`,
    ]
    for (const parameters of bad) {
      await assert.rejects(readRows(openSource(t, byName(parameters)), { select }), {
        code: 'source_tls_failed',
        retryable: false,
      })
    }
    // The certificate is for `localhost`.
    await assert.rejects(
      readRows(openSource(t, server.dsn(full)), { select }),
      (error: VectordError) => ['source_tls_failed', 'bad_request'].includes(error.code),
    )
    for (const path of ['/etc/hostname', '/dev/zero', '/none', server.folder]) {
      const noFile = `?sslmode=verify-ca&sslrootcert=${encodeURIComponent(path)}`
      await assert.rejects(readRows(openSource(t, server.dsn(noFile)), { select }), {
        code: 'bad_request',
      })
    }
  })

  it('a server without TLS is taken where that is allowed', async (t) => {
    const { proxy, dsn } = await throughProxy(t, world)
    world.hideTls(proxy)
    for (const parameters of ['', '?sslmode=disable', '?sslmode=prefer']) {
      assert.deepEqual(await readRows(openSource(t, dsn + parameters), { select }), [[1]])
    }
    for (const mode of ['require', 'verify-ca']) {
      await assert.rejects(readRows(openSource(t, `${dsn}?sslmode=${mode}`), { select }), {
        code: 'source_tls_failed',
      })
    }
  })
}
