/**
 * Turns whatever was thrown into the one error reply that clients see:
 *
 *     {"status":429,"error":{"code":…,"message":…,"retryable":true,"details":{…}},"request_id":"…"}
 *
 * Only `VectordError` speaks to clients. What nobody expected is logged with its id and answered
 * `internal` without its message, which may hold paths, keys or data.
 */

import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { ERROR_KINDS, VectordError, type ErrorCode, type ErrorDetails } from '../lib/errors.ts'
import { validationFault } from './validation-fault.ts'

/** A day: no honest hint is longer, and a wild one must not lock a client out for ever. */
const RETRY_AFTER_S_MAX = 86_400

export interface ErrorBody {
  readonly code: ErrorCode
  readonly message: string
  readonly retryable: boolean
  readonly details: ErrorDetails
}

/** The `error` part of the reply, also used for each failed query of a batch. */
export function errorBody(error: VectordError): ErrorBody {
  const { code, message, retryable, details } = error
  return { code, message, retryable, details }
}

/** Whole seconds, rounded up, for every 429 and 503; null for other statuses. */
export function retryAfterSeconds(error: VectordError): number | null {
  if (error.status !== 429 && error.status !== 503) return null
  const hint = error.retryAfterS ?? 1
  return Math.min(RETRY_AFTER_S_MAX, Math.max(1, Number.isNaN(hint) ? 1 : Math.ceil(hint)))
}

interface FrameworkFault {
  readonly code: ErrorCode
  readonly message: string
}

const FRAMEWORK_FAULTS: Readonly<Record<string, FrameworkFault>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: { code: 'body_too_large', message: 'The body is too large.' },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    code: 'unsupported_media_type',
    message: 'This route does not take a body of this content type.',
  },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
    code: 'malformed_body',
    message: 'The body is not as long as its content-length says.',
  },
  FST_ERR_BAD_URL: { code: 'bad_request', message: 'The path is not a valid URL path.' },
}

/** What the client is told about `error`; `internal` for everything that nobody expected. */
export function toVectordError(error: unknown, aborted: boolean): VectordError {
  if (error instanceof VectordError) return error
  if (aborted) {
    return new VectordError('bad_request', 'The connection ended before the request did.')
  }
  if (error instanceof Error) {
    const { code, statusCode, validation, validationContext } = error as FastifyError
    if (validation !== undefined) return validationFault(validation, validationContext ?? 'body')
    const known = FRAMEWORK_FAULTS[code]
    if (known !== undefined) return new VectordError(known.code, known.message)
    const isClientFault = statusCode !== undefined && statusCode >= 400 && statusCode < 500
    if (isClientFault) return new VectordError('bad_request', 'The request is not well formed.')
  }
  return new VectordError('internal', 'vectord failed; its log has the reason under this id.', {
    cause: error,
  })
}

function sendError(reply: FastifyReply, error: VectordError): FastifyReply {
  const retryAfter = retryAfterSeconds(error)
  if (retryAfter !== null) reply.header('retry-after', String(retryAfter))
  if (error.code === 'unauthenticated') reply.header('www-authenticate', 'Bearer')
  const envelope = { status: error.status, error: errorBody(error), request_id: reply.request.id }
  return reply
    .code(error.status)
    .header('content-type', 'application/json; charset=utf-8')
    .send(JSON.stringify(envelope))
}

/** Answers every error and every unknown route; `onError` hears the code of each. */
export function installErrorReply(
  app: FastifyInstance,
  onError: (code: ErrorCode, request: FastifyRequest) => void,
): void {
  app.setErrorHandler((error, request, reply) => {
    const known = toVectordError(error, request.raw.readableAborted)
    onError(known.code, request)
    logFault(request, known)
    return sendError(reply, known)
  })
  app.setNotFoundHandler((request, reply) => {
    onError('route_not_found', request)
    const path = request.url.split('?', 1)[0] ?? ''
    const message = 'There is no such route; /docs lists them all.'
    const details = { method: request.method, path: path.slice(0, 256) }
    return sendError(reply, new VectordError('route_not_found', message, { details }))
  })
}

/** Faults before any route is known, such as a path that cannot be decoded. */
export function answerFrameworkError(
  error: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  void sendError(reply, toVectordError(error, request.raw.readableAborted))
}

/** What Node's own parser refuses never becomes a request: answered on the bare socket. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const { status } = ERROR_KINDS.bad_request
  const fault = new VectordError('bad_request', 'This is not a well-formed HTTP request.')
  const body = JSON.stringify({ status, error: errorBody(fault), request_id: null })
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}

function logFault(request: FastifyRequest, error: VectordError): void {
  const { code } = error
  const fields = { requestId: request.id, route: request.routeOptions.url, code }
  // Overload and absence are ordinary and counted; at info they would flood the log.
  if (error.status !== 500) request.log.debug(fields, 'request refused')
  else request.log.error({ ...fields, err: error.cause ?? error }, 'request failed')
}
