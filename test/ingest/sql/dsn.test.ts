/**
 * DSNs are parsed strictly, and no form of one shows its password.
 *
 * How: passwords of all kinds of characters in DSNs of all kinds of forms, also broken ones.
 */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { parseDsn, redactDsn, withoutPassword } from '../../../src/ingest/sql/dsn.ts'

describe('parseDsn', () => {
  it('reads every part, with the defaults of each system', () => {
    assert.deepEqual(parseDsn('mysql://ann@db.example/shop'), {
      system: 'mysql',
      host: 'db.example',
      port: 3306,
      user: 'ann',
      password: '',
      database: 'shop',
      tlsMode: 'prefer',
      tlsRootPath: null,
      connectTimeoutMs: null,
    })
    const full =
      'PostgreSQL://a%40b:p%3A%2Fw%C3%BC@[::1]:5433/my%20db?sslmode=verify-full&sslrootcert=%2Fca.pem&connect_timeout=3'
    assert.deepEqual(parseDsn(full), {
      system: 'postgresql',
      host: '::1',
      port: 5433,
      user: 'a@b',
      password: 'p:/wü',
      database: 'my db',
      tlsMode: 'verify-full',
      tlsRootPath: '/ca.pem',
      connectTimeoutMs: 3000,
    })
    assert.equal(parseDsn('mariadb://a:b:c@h/d').password, 'b:c')
    assert.equal(parseDsn('postgres://a@h/d?ssl-mode=VERIFY_IDENTITY').tlsMode, 'verify-full')
  })

  it('what it does not know is refused, and not repeated', () => {
    const secret = 'hunter22'
    for (const dsn of [
      '',
      secret,
      `mysql:${secret}`,
      `oracle://a:${secret}@h/d`,
      `mysql://a:${secret}@@h/d`,
      `mysql://a:${secret}/x@h/d`,
      `mysql://a:${secret}#x@h/d`,
      `mysql://a:${secret}%zz@h/d`,
      `mysql://a:${secret}%00@h/d`,
      `mysql://a:${secret}@h:0/d`,
      `mysql://a:${secret}@h:65536/d`,
      `mysql://a:${secret}@h1:1,h2:2/d`,
      `mysql://a:${secret}@/d`,
      `mysql://:${secret}@h/d`,
      `mysql://a:${secret}@h/`,
      `mysql://a:${secret}@h`,
      `mysql://a@h/d?password=${secret}`,
      `mysql://a@h/d?${secret}`,
      `mysql://a@h/d?sslmode=${secret}`,
      `mysql://a@h/d?sslmode=disable&ssl-mode=require`,
      `mysql://a@h/d?connect_timeout=${secret}`,
      `mysql://a@h/d?connect_timeout=0`,
      `mysql://a@h/d?sslmode=require&sslrootcert=${secret}`,
      ` mysql://a:${secret}@h/d`,
      `mysql://a:${secret}@h/d\n`,
    ]) {
      assert.throws(
        () => parseDsn(dsn),
        (error: { code: string; message: string }) => {
          assert.equal(error.code, 'bad_request')
          assert.ok(!error.message.includes(secret), error.message)
          return true
        },
        dsn,
      )
    }
  })
})

describe('redactDsn', () => {
  it('keeps what names the server', () => {
    for (const [dsn, shown] of [
      ['mysql://ann:secret@db:3307/shop', 'mysql://ann:***@db:3307/shop'],
      ['postgres://ann@db/shop?sslmode=require', 'postgres://ann@db/shop?sslmode=require'],
      ['mariadb://ann:@[::1]/shop', 'mariadb://ann:***@[::1]/shop'],
      [
        'mysql://a:s@h/d?PASSWORD=x&sslmode=no&y=1',
        'mysql://a:***@h/d?PASSWORD=***&sslmode=***&***',
      ],
      ['mysql://a:b@c@h/d', 'mysql://***'],
      ['host=db password=secret', '***'],
      ['jdbc:mysql://a:b@h/d', '***'],
    ] as const) {
      assert.equal(redactDsn(dsn), shown)
    }
  })

  it('shows a password in no form of a DSN, whatever it is made of', () => {
    const secret = 'Zq7'
    // Marks that have a meaning in a DSN stand before, in and behind what must not show.
    const mark = fc.constantFrom(
      '',
      ':',
      '@',
      '/',
      '?',
      '#',
      '&',
      '=',
      '%',
      '%40',
      ' ',
      '[',
      '\n',
      '://',
    )
    const password = fc
      .tuple(mark, mark, mark)
      .map(([before, middle, behind]) => `${before}${secret}${middle}${secret}${behind}`)
    const scheme = fc.constantFrom(
      'mysql',
      'MySQL',
      'mariadb',
      'postgres',
      'postgresql',
      'http',
      'x+y',
      '',
    )
    const form = fc.constantFrom<(scheme: string, password: string) => string>(
      (s, p) => `${s}://user:${p}@host/db`,
      (s, p) => `${s}://user:${encodeURIComponent(p)}@host:1/db?sslmode=require`,
      (s, p) => `${s}://:${p}@host`,
      (s, p) => `${s}://user:1${p}@host/db`,
      (s, p) => `${s}://user@host/db?password=${p}`,
      (s, p) => `${s}://user@host/db?sslmode=disable&sslpassword=${encodeURIComponent(p)}`,
      (s, p) => `${s}://user@host/db?${p}`,
      (s, p) => `${s}:user:${p}@host`,
      // With an @ in it, the rest of it is a host like any other.
      (s, p) => `${s}://user:${p.replaceAll('@', '')}`,
      (s, p) => `host=db user=x password='${p}' ${s}`,
      (s, p) => `${s}://user:x@host/db#${p}`,
      (s, p) => `${s}://user:${p}@host/db`.repeat(2),
    )
    fc.assert(
      fc.property(scheme, form, password, (s, make, p) => {
        const dsn = make(s, p)
        assert.ok(!redactDsn(dsn).includes(secret), `${dsn} → ${redactDsn(dsn)}`)
      }),
      { numRuns: 3000 },
    )
  })

  it('never throws', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.webUrl()), (text) => {
        assert.equal(typeof redactDsn(text), 'string')
      }),
    )
  })
})

describe('withoutPassword', () => {
  it('hides it as it is and percent-encoded', () => {
    const dsn = parseDsn('mysql://a:s%40cret%2F1@h/d')
    const text = 'no s@cret/1 and no s%40cret%2F1 here'
    assert.equal(withoutPassword(text, dsn), 'no *** and no *** here')
  })
})
