/**
 * The dashboard, the alerts and their document ask for what a server really prints, and each alert says
 * what to do.
 */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'yaml'
import { ERROR_KINDS } from '../../src/lib/errors.ts'
import { readExposition, readPromQl, type Exposition } from '../support/promql.ts'
import { startService, type Service } from '../support/service.ts'
import { randomVectors, vectorAt } from '../support/vectors.ts'

const POINTS = 300
const QUERIES = 150
const DIMENSION = 8
/** Given by Prometheus itself. */
const OF_PROMETHEUS = ['job', 'instance']

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly description?: string
  readonly datasource?: { readonly type: string; readonly uid: string }
  readonly gridPos: {
    readonly x: number
    readonly y: number
    readonly w: number
    readonly h: number
  }
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } }
  readonly targets?: readonly { readonly refId: string; readonly expr: string }[]
}

interface Dashboard {
  readonly uid: string
  readonly panels: readonly Panel[]
  readonly templating: {
    readonly list: readonly {
      readonly name: string
      readonly type: string
      readonly definition?: string
    }[]
  }
}

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly runbook_url: string }
}

const dashboard = JSON.parse(readFileSync('docs/monitoring/dashboard.json', 'utf8')) as Dashboard
const rules = (
  parse(readFileSync('docs/monitoring/alerts.yml', 'utf8')) as {
    groups: { rules: Rule[] }[]
  }
).groups.flatMap((group) => group.rules)
const panels = dashboard.panels.filter(({ type }) => type !== 'row')

/** Makes every metric have a value that only has one after something happened. */
async function exercise(service: Service): Promise<void> {
  const settings = { name: 'cloud', dimension: DIMENSION, metric: 'l2', stream: {} }
  await service.must('POST', '/vectors/indexes', { ...settings, hnsw: { ef_search: 40 } })
  const points = randomVectors(POINTS, DIMENSION, 1)
  const rows = Array.from({ length: POINTS }, (_, row) => {
    return { id: `p-${row}`, vector: Array.from(vectorAt(points, row)) }
  })
  await service.must('POST', '/vectors/indexes/cloud/points', { points: rows })
  await service.must('POST', '/vectors/indexes/cloud/stream', { points: rows.slice(0, 10) })
  await service.must('POST', '/vectors/indexes/cloud/points/delete', { ids: ['p-1'] })
  await service.eventually('/vectors/indexes/cloud', ({ text }) =>
    text.includes('"delta_points":0'),
  )
  for (let query = 0; query < QUERIES; query += 1) {
    const vector = Array.from(vectorAt(points, query))
    await service.must('POST', '/vectors/indexes/cloud/search', { vector, k: 10 })
  }
  const refused = await service.request('POST', '/vectors/indexes/cloud/search', { vector: [1] })
  assert.equal(refused.status, 400)
  await service.must('POST', '/vectors/indexes/cloud/rebuild?wait=true')
  await service.must('GET', '/storage/bucket-health')
  for (let query = 0; query < QUERIES; query += 1) {
    const vector = Array.from(vectorAt(points, query))
    await service.must('POST', '/vectors/indexes/cloud/search', { vector, k: 10 })
  }
}

describe('monitoring', () => {
  let metrics: Exposition
  let text = ''
  let root = ''
  let service: Service | null = null

  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'vectord-'))
    service = await startService(root, {
      env: {
        VECTORD_SEARCH_FLAT_THRESHOLD: '10',
        VECTORD_RECALL_SAMPLE_CPU_SHARE: '1',
        VECTORD_RECALL_MAX_SAMPLE_RATE: '1',
        // Nobody listens there.
        VECTORD_TRACING_ENDPOINT: 'http://127.0.0.1:9',
      },
    })
    await service.ready()
    await exercise(service)
    const isSampled = /^vectord_live_recall\{index="cloud"\}/m
    const reply = await service.eventually('/metrics', (one) => isSampled.test(one.text))
    text = reply.text
    metrics = readExposition(text)
  })

  after(async () => {
    await service?.kill()
    await rm(root, { recursive: true, force: true })
  })

  /** Fails where the query names a metric, a label or a value that no server prints. */
  function check(expression: string, place: string): void {
    // What Grafana writes in is a time.
    const query = readPromQl(expression.replaceAll('$__rate_interval', '5m'))
    assert.ok(query.selectors.length > 0, `${place} asks for no metric`)
    const labels = new Set<string>(OF_PROMETHEUS)
    for (const { metric, matchers } of query.selectors) {
      const printed = metric === 'up' ? new Map<string, Set<string>>() : metrics.get(metric)
      assert.ok(printed !== undefined, `${place}: no server prints ${metric}`)
      for (const label of printed.keys()) labels.add(label)
      for (const { label, op, value } of matchers) {
        if (OF_PROMETHEUS.includes(label)) continue
        const values = knownValues(label, printed.get(label))
        assert.ok(values !== null, `${place}: ${metric} has no label ${label}`)
        for (const wanted of op.endsWith('~') ? value.split('|') : [value]) {
          const matches = new RegExp(
            `^(?:${op.endsWith('~') ? wanted : wanted.replaceAll('.', '\\.')})$`,
          )
          assert.ok(
            values.some((one) => matches.test(one)),
            `${place}: ${label} of ${metric} is never ${wanted}`,
          )
        }
      }
    }
    const missing = query.grouping.filter((label) => !labels.has(label))
    assert.deepEqual(missing, [], `${place} groups by labels that are not there`)
  }

  it('a check of an expression finds what no server prints', () => {
    for (const [wrong, message] of [
      ['vectord_core_upp', /prints vectord_core_upp/],
      ['vectord_core_up{cor="1"}', /no label cor/],
      ['sum by (shard) (vectord_core_up)', /groups by/],
      ['rate(vectord_written_rows_total{kind="insert"}[5m])', /never insert/],
      ['vectord_errors_total{code=~"delta_full|deltafull"}', /never deltafull/],
      ['sum(vectord_core_up', /no PromQL/],
      ['1 + 1', /no metric/],
    ] as const) {
      assert.throws(() => check(wrong, 'here'), message, wrong)
    }
  })

  it('every panel asks for metrics and labels that a server prints', () => {
    assert.ok(panels.length > 20)
    for (const { title, targets = [] } of panels) {
      assert.ok(targets.length > 0, `${title} has no query`)
      for (const { expr } of targets) check(expr, title)
    }
  })

  it('every alert asks for metrics and labels that a server prints', () => {
    assert.ok(rules.length > 15)
    for (const { alert, expr, annotations } of rules) {
      check(expr, alert)
      const { selectors, grouping } = readPromQl(expr)
      const kept =
        grouping.length > 0
          ? grouping
          : selectors.flatMap(({ metric }) => [...(metrics.get(metric)?.keys() ?? [])])
      for (const [, label = ''] of annotations.summary.matchAll(/\$labels\.(\w+)/g)) {
        const isThere = kept.includes(label) || OF_PROMETHEUS.includes(label)
        assert.ok(isThere, `${alert}: its summary names ${label}, which is not there`)
      }
    }
  })

  it('every metric that docs/monitoring.md names is printed', () => {
    const document = readFileSync('docs/monitoring.md', 'utf8')
    const named = [...document.matchAll(/`((?:vectord|process|nodejs)_[a-z0-9_]*[a-z0-9])`/g)]
    const missing = named
      .map(([, name = '']) => name)
      .filter((name) => !metrics.has(name) && !metrics.has(`${name}_bucket`))
    assert.ok(named.length > 20)
    assert.deepEqual(missing, [])
  })

  it('what is called a total is a counter, and nothing else of ours is one', () => {
    const types = [...text.matchAll(/^# TYPE (vectord_\w+) (\w+)$/gm)]
    const counters = types.filter(([, , type]) => type === 'counter').map(([, name]) => name)
    const totals = types.map(([, name = '']) => name).filter((name) => name.endsWith('_total'))
    assert.ok(totals.length > 10)
    assert.deepEqual(counters, totals)
  })
})

/** Null where the label is not there. Errors and statuses are known without having happened. */
function knownValues(
  label: string,
  printed: ReadonlySet<string> | undefined,
): readonly string[] | null {
  if (printed === undefined) return null
  const more =
    label === 'code'
      ? Object.keys(ERROR_KINDS)
      : label === 'status'
        ? Object.values(ERROR_KINDS).map(({ status }) => String(status))
        : []
  return [...printed, ...more]
}

it('the dashboard is one that Grafana takes: ids, places, units, variables', () => {
  const ids = dashboard.panels.map(({ id }) => id)
  assert.equal(new Set(ids).size, ids.length, 'ids of panels are unique')
  const titles = panels.map(({ title }) => title)
  assert.equal(new Set(titles).size, titles.length)
  const taken = new Set<string>()
  for (const { gridPos, title } of dashboard.panels) {
    const { x, y, w, h } = gridPos
    assert.ok(x >= 0 && x + w <= 24, `${title} is within the width`)
    for (let place = 0; place < w * h; place += 1) {
      const cell = `${x + (place % w)} ${y + Math.floor(place / w)}`
      assert.ok(!taken.has(cell), `${title} lies over another panel`)
      taken.add(cell)
    }
  }
  const units = ['reqps', 'rowsps', 'ops', 's', 'bytes', 'Bps', 'percentunit', 'short']
  for (const { title, description, datasource, fieldConfig, targets = [] } of panels) {
    assert.ok(units.includes(fieldConfig?.defaults.unit ?? ''), `${title} has a unit`)
    assert.ok((description ?? '').length > 10, `${title} says what it shows`)
    assert.deepEqual(datasource, { type: 'prometheus', uid: '${datasource}' })
    assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length)
    for (const { expr } of targets) {
      assert.match(expr, /job="\$job",instance=~"\$instance"/, `${title} is of the chosen server`)
    }
  }
  const variables = dashboard.templating.list.map(({ name, type }) => `${name} ${type}`)
  assert.deepEqual(variables, ['datasource datasource', 'job query', 'instance query'])
})

it('every alert is named once, has a severity, and a runbook that is there', () => {
  const names = rules.map(({ alert }) => alert)
  assert.equal(new Set(names).size, names.length)
  const used = new Set<string>()
  for (const { alert, labels, annotations } of rules) {
    assert.ok(['page', 'ticket'].includes(labels.severity), alert)
    const [file = '', anchor = ''] = annotations.runbook_url.split('#')
    const anchors = [...readFileSync(file, 'utf8').matchAll(/^#+ (.+)$/gm)].map(
      ([, heading = '']) =>
        heading
          .toLowerCase()
          .replaceAll(/[^\w -]/g, '')
          .replaceAll(' ', '-'),
    )
    assert.ok(anchors.includes(anchor), `${alert}: ${file} has no #${anchor}`)
    used.add(anchor)
  }
  const [, section = ''] =
    /^## When an alert fires$([^]*?)^## /m.exec(readFileSync('docs/operations.md', 'utf8')) ?? []
  const runbooks = section.match(/^### .+$/gm) ?? []
  assert.equal(runbooks.length, used.size, 'no runbook without an alert')
})
