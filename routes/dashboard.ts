/**
 * /dashboard: the pages of web/, as `npm ci` built them.
 *
 * They hold nothing of the data and need no key; what they show they ask of the API, with the key
 * that their reader gives them. The policy lets them load and ask from this origin only, and lets no
 * text become a script or a style. Names of built files hold a hash of their content, so they are
 * kept for ever; the page itself is asked after each time.
 */

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { readPages, type StaticPage } from '../src/http/static-pages.ts'

export interface DashboardRoutesOptions {
  /** Where the built pages lie; it need not be there. */
  readonly folder: string
}

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "font-src 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "form-action 'none'",
].join('; ')

const YEAR_S = 31_536_000
const ASSETS = 'assets/'

const NOT_BUILT = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>vectord: the dashboard is not built</title>
<h1>The dashboard is not built</h1>
<p>The service runs; its pages are missing. In the folder of vectord run</p>
<pre>npm ci</pre>
<p>or, where the packages are there, <code>node scripts/build-web.mjs</code>, and load this page again.</p>
`

const PAGE = { config: { role: 'public' }, schema: { hide: true } } as const

export const dashboardRoutes: FastifyPluginCallbackTypebox<DashboardRoutesOptions> = (
  app,
  { folder },
  done,
) => {
  let pages = readPages(folder)

  app.get('/', PAGE, (_request, reply) => reply.redirect('/dashboard'))

  const index = (request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    if (pages.size === 0) pages = readPages(folder)
    const page = pages.get('index.html')
    browserHeaders(reply)
    reply.header('cache-control', 'no-cache')
    if (page !== undefined) return answer(request, reply, page)
    return reply.code(503).type('text/html; charset=utf-8').send(NOT_BUILT)
  }
  app.get('/dashboard', PAGE, index)

  // A page below is the same document: what it shows is told by its path.
  app.get('/dashboard/*', PAGE, (request, reply) => {
    const path = (request.params as { '*': string })['*']
    const page = pages.get(path)
    if (page === undefined && !path.startsWith(ASSETS)) return index(request, reply)
    if (page === undefined || path === 'index.html') {
      reply.callNotFound()
      return reply
    }
    browserHeaders(reply)
    const isHashed = path.startsWith(ASSETS)
    const kept = isHashed ? `public, max-age=${YEAR_S}, immutable` : 'no-cache'
    return answer(request, reply.header('cache-control', kept), page)
  })
  done()
}

function browserHeaders(reply: FastifyReply): void {
  reply.header('content-security-policy', POLICY)
  reply.header('referrer-policy', 'no-referrer')
  reply.header('cross-origin-opener-policy', 'same-origin')
  reply.header('cross-origin-resource-policy', 'same-origin')
}

function answer(request: FastifyRequest, reply: FastifyReply, page: StaticPage): FastifyReply {
  reply.header('etag', page.etag).header('vary', 'accept-encoding')
  if (request.headers['if-none-match'] === page.etag) return reply.code(304).send()
  reply.type(page.type)
  const takesGzip = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '')
  if (page.gzip === null || !takesGzip) return reply.send(page.bytes)
  return reply.header('content-encoding', 'gzip').send(page.gzip)
}
