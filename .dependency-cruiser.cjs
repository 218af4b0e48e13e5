/**
 * Import directions, as drawn in docs/ARCHITECTURE.md. A folder may import itself and every row
 * below its own; never its neighbours in the row, never a row above.
 */

/** From the top down; a row may list several neighbours that do not know each other. */
const ROWS = [
  ['src/server.ts'],
  ['src/app.ts'],
  ['src/data-parts.ts', 'src/periodic-work.ts'],
  ['src/tuning-parts.ts', 'src/text-parts.ts', 'src/snapshot-parts.ts', 'src/lance-parts.ts'],
  ['src/parts.ts'],
  ['src/log-lines.ts', 'src/core-report.ts', 'src/drop-parts.ts'],
  ['routes'],
  ['src/http', 'src/services'],
  ['src/autotune', 'src/ingest', 'src/projection', 'src/profiles', 'src/snapshots'],
  ['src/journal', 'src/promotions', 'src/datasets'],
  ['src/indexes'],
  ['src/dataplane'],
  ['src/shard', 'src/versions', 'src/log'],
  ['src/engines'],
  ['src/buckets', 'src/embedders', 'src/codecs'],
  ['src/config', 'src/domain', 'src/processes', 'src/tracing'],
  ['src/lib'],
]

/**
 * Row 3 of docs/ARCHITECTURE.md is drawn here as two, because src/shard may import src/engines;
 * the others of that row may not.
 */
const ALSO_NEIGHBOURS = { 'src/versions': ['src/engines'], 'src/log': ['src/engines'] }

/** One door for each heavy or foreign dependency: nobody else may import it. */
const DOORS = {
  '@aws-sdk/client-s3': '^src/buckets/s3-[a-z-]+\\.ts$',
  '@aws-sdk/lib-storage': '^src/buckets/s3-[a-z-]+\\.ts$',
  '@smithy/node-http-handler': '^src/buckets/s3-[a-z-]+\\.ts$',
  'hnswlib-node': '^src/engines/hnsw/',
  '@lancedb/lancedb': '^src/engines/lance/',
  'apache-arrow': '^src/(codecs|engines/lance)/',
  'parquet-wasm': '^src/codecs/',
  '@energetic-ai/[a-z-]+': '^src/embedders/local-embedder-main\\.ts$',
  mysql2: '^src/ingest/sql/',
  pg: '^src/ingest/sql/',
  'pg-query-stream': '^src/ingest/sql/',
  'csv-parse': '^src/codecs/',
  'smol-toml': '^src/config/',
  '@opentelemetry/[a-z-]+': '^src/tracing/otlp-tracer\\.ts$',
  fastify: '^(routes/|src/http/|src/app\\.ts$)',
  '@fastify/[a-z-]+': '^(routes/|src/http/|src/app\\.ts$)',
  ajv: '^src/http/',
  'close-with-grace': '^src/server\\.ts$',
  'node:child_process': '^src/processes/',
}

const pattern = (name) => (name.endsWith('.ts') ? `^${name.replace('.', '\\.')}$` : `^${name}/`)

const rowRules = ROWS.flatMap((row, rank) =>
  row.map((name) => ({
    name: `row: ${name}`,
    comment: `${name} may import only itself and the rows below it`,
    severity: 'error',
    from: { path: pattern(name) },
    to: {
      path: ROWS.slice(0, rank + 1)
        .flat()
        .concat(ALSO_NEIGHBOURS[name] ?? [])
        .filter((other) => other !== name)
        .map(pattern),
    },
  })),
).filter((rule) => rule.to.path.length > 0)

const doorRules = Object.entries(DOORS).map(([dependency, door]) => ({
  name: `door: ${dependency}`,
  comment: `only files that match ${door} may import ${dependency}`,
  severity: 'error',
  from: { path: '^(src|routes)/', pathNot: door },
  to: {
    path: dependency.startsWith('node:')
      ? `^(node:)?${dependency.slice(5)}$`
      : `node_modules/${dependency}/`,
  },
}))

module.exports = {
  forbidden: [
    ...rowRules,
    ...doorRules,
    {
      name: 'routes-see-components-not-mechanisms',
      comment: 'a route parses, makes one call and names the shape',
      severity: 'error',
      from: { path: '^routes/' },
      to: { path: '^src/(dataplane|shard|embedders|engines|versions|log|processes)/' },
    },
    {
      name: 'client-alone',
      comment:
        'the client is copied into other projects and runs in browsers: it imports itself alone',
      severity: 'error',
      from: { path: '^client/' },
      to: { pathNot: '^client/' },
    },
    {
      name: 'nothing-above-the-service',
      comment: 'the service knows neither its client nor its command line',
      severity: 'error',
      from: { path: '^(src|routes)/' },
      to: { path: '^(client|cli)/' },
    },
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-import-of-tests',
      severity: 'error',
      from: { path: '^(src|routes)/' },
      to: { path: '^(test|bench)/' },
    },
    {
      name: 'pages-stand-alone',
      comment:
        'the pages know the service by its API only; they are built with their own libraries',
      severity: 'error',
      from: { path: '^web/' },
      to: { pathNot: '^web/src/|node_modules/(preact|@preact/signals|uplot)/' },
    },
    {
      name: 'no-import-of-pages',
      severity: 'error',
      from: { pathNot: '^(web|test)/' },
      to: { path: '^web/' },
    },
    {
      name: 'no-dev-dependency',
      comment: 'an image carries no dev dependencies',
      severity: 'error',
      from: { path: '^(src|routes|cli)/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'no-undeclared-dependency',
      comment: 'what is imported stands in package.json',
      severity: 'error',
      from: {},
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    { name: 'no-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
}
