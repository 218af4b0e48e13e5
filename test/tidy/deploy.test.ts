/** What docs/deploy says is what the code does: images, ports, paths, probes, variables, times. */

import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join, normalize } from 'node:path'
import { it } from 'node:test'
import { parse, parseAllDocuments } from 'yaml'
import description from '../../package.json' with { type: 'json' }
import { environmentName, KEYS, SCHEMA } from '../../src/config/schema.ts'

const FOLDER = 'docs/deploy'
const PORT = SCHEMA.server.port.default
const DRAIN_S = SCHEMA.server.drain_timeout_ms.default / 1000
/** What closing takes beside the drain, and starting `npm`'s Node. */
const MARGIN_S = 5
const IMAGE = `vectord:${description.version}`

const read = (name: string): string => readFileSync(join(FOLDER, name), 'utf8')
const dockerfile = readFileSync('Dockerfile', 'utf8')
const variables = [...KEYS.map(environmentName), 'VECTORD_CONFIG']
const publicRoutes = [
  ...readFileSync('routes/operations.ts', 'utf8').matchAll(/app\.get\('([^']+)', (\w+),/g),
].map(([, path]) => path ?? '')

interface ComposeService {
  readonly image: string
  readonly environment?: Readonly<Record<string, string>>
  readonly ports?: readonly string[]
  readonly volumes?: readonly string[]
  readonly depends_on?: unknown
  readonly stop_grace_period?: string
}

interface Compose {
  readonly services: Readonly<Record<string, ComposeService>>
  readonly volumes: Readonly<Record<string, null>>
}

const compose = parse(read('compose.yaml')) as Compose
const unit = read('vectord.service')

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string }
}

interface Container {
  readonly image: string
  readonly env: readonly { readonly name: string; readonly value?: string }[]
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[]
  readonly startupProbe: Probe
  readonly livenessProbe: Probe
  readonly readinessProbe: Probe
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[]
  readonly securityContext: Readonly<Record<string, unknown>>
}

interface StatefulSet {
  readonly metadata: { readonly name: string }
  readonly spec: {
    readonly replicas: number
    readonly serviceName: string
    readonly selector: { readonly matchLabels: object }
    readonly template: {
      readonly metadata: { readonly labels: object }
      readonly spec: {
        readonly terminationGracePeriodSeconds: number
        readonly securityContext: Readonly<Record<string, unknown>>
        readonly containers: readonly Container[]
        readonly volumes: readonly { readonly name: string }[]
      }
    }
    readonly volumeClaimTemplates: readonly { readonly metadata: { readonly name: string } }[]
  }
}

interface KubernetesService {
  readonly metadata: { readonly name: string }
  readonly spec: {
    readonly selector: object
    readonly ports: readonly { readonly port: number; readonly targetPort: string }[]
  }
}

const [service, statefulSet] = parseAllDocuments(read('kubernetes.yaml')).map(
  (document) => document.toJS() as unknown,
) as [KubernetesService, StatefulSet]

it('every file parses, and none repeats a key', () => {
  const files = globSync(`${FOLDER}/**/*.{yml,yaml}`)
  assert.ok(files.length >= 5)
  for (const file of files) {
    for (const document of parseAllDocuments(readFileSync(file, 'utf8'), { uniqueKeys: true })) {
      assert.deepEqual([...document.errors, ...document.warnings], [], file)
    }
  }
})

it('every variable and every file that is named exists', () => {
  const texts = [read('compose.yaml'), read('kubernetes.yaml'), unit, readDeployPage()]
  const named = texts.flatMap((text) => text.match(/\bVECTORD_[A-Z_0-9]+/g) ?? [])
  assert.ok(named.length > 8)
  assert.deepEqual(
    named.filter((name) => !variables.includes(name)),
    [],
  )
  const mounted = Object.values(compose.services).flatMap(({ volumes = [] }) =>
    volumes.map((volume) => volume.split(':')[0] ?? ''),
  )
  for (const source of mounted) {
    // Keys are made by whoever deploys.
    if (source.startsWith('./secrets/')) continue
    const isFile = source.startsWith('.')
    const isThere = isFile ? existsSync(join(FOLDER, source)) : source in compose.volumes
    assert.ok(isThere, `compose.yaml mounts ${source}`)
  }
})

it('compose: the image that is built, its port and its folder; images of others are pinned', () => {
  const { vectord } = compose.services
  assert.ok(vectord !== undefined)
  assert.equal(vectord.image, IMAGE)
  assert.deepEqual(vectord.ports, [`127.0.0.1:${PORT}:${PORT}`])
  assert.match(dockerfile, new RegExp(`^EXPOSE ${PORT}$`, 'm'))
  const [, data = ''] = /^VOLUME (\S+)$/m.exec(dockerfile) ?? []
  assert.deepEqual(vectord.volumes, [`vectord:${data}`])
  assert.ok(Number.parseInt(vectord.stop_grace_period ?? '0', 10) >= DRAIN_S + MARGIN_S)
  for (const [name, { image }] of Object.entries(compose.services)) {
    assert.match(image, /:[A-Za-z]*\.?v?\d[\w.-]+$/, `${name} is pinned`)
  }
  for (const { ports = [] } of Object.values(compose.services)) {
    for (const port of ports) assert.match(port, /^127\.0\.0\.1:/, 'loopback alone')
  }
})

it('compose: Prometheus finds the server, its key and the alerts; Grafana the dashboard', () => {
  const prometheus = parse(read('prometheus.yml')) as {
    rule_files: string[]
    scrape_configs: {
      job_name: string
      authorization: { credentials_file: string }
      static_configs: { targets: string[] }[]
    }[]
  }
  const targetsOf = (name: string): string[] =>
    (compose.services[name]?.volumes ?? []).map((volume) => volume.split(':')[1] ?? '')
  const [scrape] = prometheus.scrape_configs
  assert.ok(scrape !== undefined)
  assert.equal(scrape.job_name, 'vectord')
  assert.deepEqual(scrape.static_configs[0]?.targets, [`vectord:${PORT}`])
  for (const path of [...prometheus.rule_files, scrape.authorization.credentials_file]) {
    assert.ok(targetsOf('prometheus').includes(path), path)
  }
  const { providers } = parse(read('grafana/dashboards.yml')) as {
    providers: { options: { path: string } }[]
  }
  const dashboards = targetsOf('grafana').filter((path) => path.endsWith('.json'))
  assert.equal(dashboards.length, 1)
  assert.ok(dashboards[0]?.startsWith(`${providers[0]?.options.path ?? ''}/`))
  const home =
    compose.services['grafana']?.environment?.['GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH']
  assert.equal(home, dashboards[0])
})

it('compose: the S3 server has the bucket and the keys that the service is given', () => {
  const { vectord, s3 } = compose.services as Record<
    string,
    ComposeService & { entrypoint: string[] }
  >
  const given = vectord?.environment ?? {}
  assert.equal(given['VECTORD_PRIMARY_BACKEND'], 's3')
  assert.ok(s3?.entrypoint.at(-1)?.includes(`mkdir -p /data/${given['VECTORD_PRIMARY_BUCKET']} `))
  assert.equal(given['AWS_ACCESS_KEY_ID'], s3?.environment?.['MINIO_ROOT_USER'])
  assert.equal(given['AWS_SECRET_ACCESS_KEY'], s3?.environment?.['MINIO_ROOT_PASSWORD'])
})

it('systemd: it starts as npm start does, and is given the time that a drain takes', () => {
  const value = (key: string): string => new RegExp(`^${key}=(.*)$`, 'm').exec(unit)?.[1] ?? ''
  const folder = value('WorkingDirectory')
  const [node = '', ...rest] = value('ExecStart').split(' ')
  assert.equal(['node', ...rest].join(' '), description.scripts.start)
  assert.ok(existsSync(normalize(node.replace(folder, '.'))), node)
  assert.ok(Number.parseInt(value('TimeoutStopSec'), 10) >= DRAIN_S + MARGIN_S)
  // Its cores must not be told to end before it has drained.
  assert.equal(value('KillMode'), 'mixed')
  const root = /VECTORD_STORAGE_ROOT=(.*)$/m.exec(unit)?.[1]
  assert.equal(root, `/var/lib/${value('StateDirectory')}`)
  assert.doesNotMatch(unit, /^MemoryDenyWriteExecute/m, 'V8 would not start')
})

it('Kubernetes: one replica with its volume, probes of real routes, time for the drain', () => {
  const { spec, metadata } = statefulSet
  const pod = spec.template.spec
  const [container] = pod.containers
  assert.ok(container !== undefined)
  assert.equal(spec.replicas, 1)
  assert.equal(container.image, IMAGE)
  assert.ok(pod.terminationGracePeriodSeconds >= DRAIN_S + MARGIN_S)
  assert.deepEqual(container.ports, [{ name: 'http', containerPort: PORT }])
  for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'] as const) {
    const { path, port }: Probe['httpGet'] = container[probe].httpGet
    assert.ok(publicRoutes.includes(path), `${probe}: ${path}`)
    assert.equal(port, 'http')
  }
  assert.equal(container.livenessProbe.httpGet.path, '/livez')
  assert.equal(container.readinessProbe.httpGet.path, '/readyz')
  const [, data = ''] = /^VOLUME (\S+)$/m.exec(dockerfile) ?? []
  const [claim] = spec.volumeClaimTemplates
  const mounted = container.volumeMounts.find(({ mountPath }) => mountPath === data)
  assert.equal(mounted?.name, claim?.metadata.name)
  const volumes = [...pod.volumes.map(({ name }) => name), claim?.metadata.name]
  for (const { name } of container.volumeMounts) assert.ok(volumes.includes(name), name)
  assert.equal(pod.securityContext['runAsNonRoot'], true)
  assert.equal(container.securityContext['readOnlyRootFilesystem'], true)
  assert.deepEqual(spec.selector.matchLabels, spec.template.metadata.labels)
  assert.deepEqual(service.spec.selector, spec.template.metadata.labels)
  assert.deepEqual([service.metadata.name, metadata.name], [spec.serviceName, spec.serviceName])
  assert.deepEqual(service.spec.ports[0]?.port, PORT)
})

it('beyond loopback each of them asks for keys', () => {
  for (const text of [read('compose.yaml'), read('kubernetes.yaml')]) {
    assert.match(text, /VECTORD_SERVER_HOST[^]*0\.0\.0\.0[^]*VECTORD_AUTH_KEYS/)
  }
})

function readDeployPage(): string {
  return readFileSync('docs/deploy.md', 'utf8')
}
