/**
 * `/openapi.json`, made from the schemas of the routes, and `/docs` to browse it.
 *
 * The pages come from the npm package and load nothing from other hosts: the content policy allows
 * this origin only. Both are public: they describe the service and hold nothing of its data.
 */

import helmet from '@fastify/helmet'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'

/** Must be awaited before any route is added: only later routes are described. */
export async function installOpenApi(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'vectord',
        version,
        description: 'Durable vector indexes over HTTP.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
      security: [{ key: [] }],
    },
  })
  app.get('/openapi.json', { schema: { hide: true }, config: { role: 'public' } }, () =>
    app.swagger(),
  )
  await app.register(docs)
}

async function docs(app: FastifyInstance): Promise<void> {
  app.addHook('onRoute', (route) => {
    route.config = { ...route.config, role: 'public' }
  })
  await installBrowserHeaders(app)
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: false,
    uiConfig: { deepLinking: true, docExpansion: 'list', validatorUrl: null },
  })
}

/** Headers for pages that a browser shows; answers of the API need `nosniff` alone. */
async function installBrowserHeaders(app: FastifyInstance): Promise<void> {
  await app.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        'default-src': ["'none'"],
        'base-uri': ["'none'"],
        'connect-src': ["'self'"],
        'font-src': ["'self'"],
        'form-action': ["'self'"],
        'frame-ancestors': ["'none'"],
        'img-src': ["'self'", 'data:'],
        'script-src': ["'self'"],
        'style-src': ["'self'"],
      },
    },
    // vectord speaks plain HTTP, often behind a proxy: whether to insist on TLS is for the proxy.
    strictTransportSecurity: false,
  })
}
