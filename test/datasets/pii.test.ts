/** What is flagged as being of people, and what only looks like it. */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Cell } from '../../src/domain/table.ts'
import { detectPii, type PiiFlag } from '../../src/datasets/pii.ts'

type Case = readonly [column: string, values: readonly Cell[]]

const EMAILS = ['ada@example.com', 'grace.hopper+x@navy.mil', 'x@sub.example.co.uk']
const CARDS = ['4111 1111 1111 1111', '5500005555555559', '3714-496353-98431', '6011111111111117']
const UUIDS = ['2f6a0a3c-0000-4000-8000-000000000001', '6ba7b810-9dad-11d1-80b4-00c04fd430c8']

const FLAGGED: Readonly<Record<PiiFlag, readonly Case[]>> = {
  name: [
    ['first_name', ['Ada', 'José', null]],
    ['lastName', ["O'Brien", 'van der Berg']],
    ['FULLNAME', ['Ada Lovelace']],
    ['surname', ['Müller']],
    ['customer_name', ['ACME Ltd', 'Ada Lovelace']],
    ['name', ['Ada Lovelace', 'J. R. R. Tolkien', 'Ludwig van Beethoven']],
    ['first_name', []],
  ],
  email: [
    ['email', EMAILS],
    ['contact', EMAILS],
    ['c7', [...EMAILS, 'n/a', null]],
    ['E-Mail', EMAILS],
    ['emailAddress', EMAILS],
  ],
  phone: [
    ['phone', ['5551234567', '+1 555 123 4567']],
    ['c1', ['+4930123456', '+1-555-123-4567']],
    ['c2', ['(555) 123-4567', '(555) 765-4321 x12']],
    ['c3', ['555-123-4567', '555.123.4567']],
    ['c4', ['06 12 34 56 78', '01 23 45 67 89']],
    ['mobileNumber', [5551234567n]],
    ['cell', ['030/1234567']],
    ['telephone', []],
  ],
  ssn: [
    ['c1', ['123-45-6789', '078-05-1120']],
    ['ssn', ['123456789']],
    ['social_security_number', [123456789]],
    ['nino', ['QQ 12 34 56 C']],
  ],
  card: [
    ['c1', CARDS],
    ['card_number', CARDS],
    ['pan', [4111111111111111n]],
    ['credit_card', []],
  ],
  address: [
    ['address', ['1 Main Street', '22b Baker Street']],
    ['street', ['Hauptstraße 5']],
    ['shippingAddress', ['1 Main Street']],
    ['zip', ['01234', '99999']],
    ['postal_code', ['SW1A 1AA']],
  ],
}

/** Of nobody: ids, prices, times, names of other things. */
const PLAIN: readonly Case[] = [
  ['id', [1n, 2n, 1234567890n]],
  ['id', ['1234567890', '9876543210']],
  ['order_id', ['12345678901234', '4111111111111112']],
  ['uuid', UUIDS],
  ['price', ['19.99', '1234567.89', '1,299.00']],
  ['price', [19.99, 1234567.89]],
  ['amount', [4111111111111112n, 5500005555555550n]],
  ['created', ['2026-01-31', '2026-01-31T12:00:00Z', '2026-01-31 12:00:00']],
  ['created', [1_769_860_800_000_000n, 1_769_860_801_000_000n]],
  ['created_ms', [1_769_860_800_000n, 1_769_860_801_000n]],
  ['day', ['31.01.2026', '01/02/2026']],
  ['ip', ['192.168.100.200', '10.0.0.1']],
  ['ip_address', ['192.168.100.200']],
  ['mac_address', ['00:1b:63:84:45:e6']],
  ['url', ['https://user@example.com/path', 'http://example.com']],
  ['version', ['1.2.3', '10.20.30.4000']],
  ['zip4', ['01234-5678', '99999-1234']],
  ['sku', ['4006381333931', '4012345123456', '5901234123457']],
  ['isbn', ['978-3-16-148410-0', '978-0-306-40615-7']],
  ['coordinates', ['52.5200', '-13.4050']],
  ['name', ['blue shirt', 'USB cable 2m', 'chair']],
  ['name', ['users_v2', 'orders']],
  ['file_name', ['report.pdf']],
  ['index_name', ['docs']],
  ['product', ['Blue Shirt']],
  ['phone_verified', [true, false]],
  ['phone_count', [1, 2, 3]],
  ['has_email', ['yes', 'no']],
  ['email_count', [3, 4]],
  ['card_type', ['visa', 'amex']],
  ['business', ['123-45-67890']],
  ['mailing', ['weekly']],
  ['cells', [100, 200]],
  ['tell', ['a story']],
  ['scan', [4111111111111112n]],
  ['vector', [Float32Array.of(5551234567, 1)]],
  ['bytes', [Uint8Array.of(1)]],
  ['empty', []],
  ['nulls', [null, null]],
  ['c', ['+', '()', '-', '000-00-0000', '666-12-3456', '0000000000000000']],
]

describe('what a column holds of people', () => {
  for (const [flag, cases] of Object.entries(FLAGGED)) {
    for (const [column, values] of cases) {
      it(`${flag}: "${column}" ${String(values.slice(0, 2))}`, () => {
        assert.deepEqual(detectPii(column, values), [flag])
      })
    }
  }
})

describe('what is of nobody', () => {
  for (const [column, values] of PLAIN) {
    it(`"${column}" ${String(values.slice(0, 2))}`, () => {
      assert.deepEqual(detectPii(column, values), [])
    })
  }
})

it('long and hostile texts take no time', () => {
  const texts = [
    'a@'.repeat(100_000),
    '1-'.repeat(100_000),
    'A '.repeat(100_000),
    '+'.repeat(100_000),
  ]
  const startedMs = performance.now()
  for (const text of texts) detectPii(`${text}name`, new Array<string>(100).fill(text))
  assert.ok(performance.now() - startedMs < 1000)
})
