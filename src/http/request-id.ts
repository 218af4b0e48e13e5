/**
 * The id of a request, which its log lines, its error reply and its `x-request-id` header carry.
 *
 * A well-formed id of the caller is kept, so that one id runs through a chain of services. Anything
 * else is replaced by our own and never echoed: the id goes into headers and logs.
 */

import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

const WELL_FORMED = /^[A-Za-z0-9._:-]{1,64}$/

/** Makes ids `{process}-{n}`: unique without asking for randomness at every request. */
export function requestIds(): (request: IncomingMessage) => string {
  const process = randomBytes(6).toString('hex')
  let count = 0
  return (request) => {
    const given = request.headers['x-request-id']
    if (typeof given === 'string' && WELL_FORMED.test(given)) return given
    count += 1
    return `${process}-${count.toString(36)}`
  }
}
