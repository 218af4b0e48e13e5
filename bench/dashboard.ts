/**
 * How long do pages of the dashboard work in the browser, with 200 indexes and 5,000 trials?
 *
 * Scripting as Chromium counts it (`Performance.getMetrics`), in CPU time of the main thread, of
 * loading each page and of each interaction, with what it asks for and shows; the median of some runs.
 * The journal is made, since 5,000 trials would take days; the service, the indexes and the browser
 * are real.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Browser, CDPSession, Locator, Page } from 'playwright-core'
import { startBrowser } from '../test/support/browser.ts'
import { bucketOf, fillIndex, searchSome, writeTrials } from '../test/support/dashboard-world.ts'
import { startService, type Service } from '../test/support/service.ts'
import { print, progress, readOptions, type Row } from './support/report.ts'
import { withFolder } from './support/server.ts'

const INDEXES = 200
const TRIALS = 5000
const BOUND_MS = 100
/** What follows an act is counted for so long: answers come, and are shown. */
const LOAD_MS = 2500
const ACT_MS = 800

const options = readOptions()
const indexes = options.quick ? 20 : INDEXES
const trials = options.quick ? 500 : TRIALS
const runs = options.quick ? 1 : 3

interface Measured {
  readonly what: string
  readonly scriptMs: number
  readonly layoutMs: number
  readonly taskMs: number
}

type Point = readonly [x: number, y: number]

interface Step {
  readonly what: string
  /** What is clicked; found before the clock runs. */
  readonly target?: (page: Page) => Locator
  /** What is done, by input or address alone: looking things up in the page is work of its own. */
  readonly act: (page: Page, at: Point) => Promise<unknown>
  /** What must be seen afterwards. */
  readonly seen: (page: Page) => Locator
}

const click: Step['act'] = (page, at) => page.mouse.click(...at)
const rowOf = (page: Page, id: string): Locator => page.getByRole('rowheader', { name: id })
const newest = `t-${trials}`
const older = `t-${trials - 25}`

/** Each from where the one before has left the page. */
const STEPS: readonly Step[] = [
  {
    what: 'load: overview',
    act: (page) => page.goto('/dashboard'),
    seen: (page) => page.getByRole('link', { name: 'index-000' }),
  },
  {
    what: 'sort the indexes',
    target: (page) => page.getByRole('button', { name: 'Points' }),
    act: click,
    seen: (page) => page.locator('[aria-sort=descending]'),
  },
  {
    what: 'find an index by name, 5 letters',
    target: (page) => page.getByLabel('Find an index by name'),
    act: async (page, at) => {
      await page.mouse.click(...at)
      await page.keyboard.type('tuned')
    },
    seen: (page) => page.getByRole('link', { name: 'tuned' }),
  },
  {
    what: 'follow the link to the tuned index',
    target: (page) => page.getByRole('link', { name: 'tuned' }),
    act: click,
    seen: (page) => rowOf(page, newest),
  },
  {
    what: 'load: tuned index',
    act: (page) => page.goto('/dashboard/indexes/tuned'),
    seen: (page) => rowOf(page, newest),
  },
  {
    what: 'point at the trials, 10 places',
    target: (page) => page.locator('canvas').first(),
    act: async (page, [x, y]) => {
      for (let i = -5; i < 5; i += 1) await page.mouse.move(x + 40 * i, y - 20)
    },
    seen: (page) => page.locator('.readout'),
  },
  {
    what: 'choose a trial',
    target: (page) => page.getByRole('button', { name: `Show trial ${newest}` }),
    act: click,
    seen: (page) => page.getByText('Chosen:'),
  },
  {
    what: 'next page of trials',
    target: (page) =>
      page
        .getByRole('navigation', { name: 'Pages of: Trials' })
        .getByRole('button', { name: 'Next' }),
    act: click,
    seen: (page) => rowOf(page, older),
  },
  {
    what: 'open the dialog of a promotion',
    target: (page) => page.getByRole('button', { name: `Promote trial ${older}` }),
    act: click,
    seen: (page) => page.getByRole('dialog'),
  },
  {
    what: 'change the colours',
    act: async (page) => {
      await page.keyboard.press('Escape')
      await page.emulateMedia({ colorScheme: 'dark' })
    },
    seen: (page) => page.locator('canvas').first(),
  },
  {
    what: 'load: agent',
    act: (page) => page.goto('/dashboard/agent'),
    seen: (page) => page.getByRole('link', { name: 'index-000' }),
  },
]

await withFolder(run)

async function run(root: string): Promise<void> {
  await writeTrials(bucketOf(root), 'tuned', trials)
  const service = await startService(root, { env: { VECTORD_SEARCH_FLAT_THRESHOLD: '50' } })
  let browser: Browser | null = null
  try {
    await fill(service)
    browser = await startBrowser()
    const all: Measured[] = []
    for (let i = 0; i < runs; i += 1) all.push(...(await session(browser, service.url)))
    report(all)
  } finally {
    await browser?.close()
    await service.kill()
  }
}

async function fill(service: Service): Promise<void> {
  await service.ready()
  for (let i = 0; i < indexes - 1; i += 1) {
    await fillIndex(service, `index-${String(i).padStart(3, '0')}`, 10 + i)
  }
  await fillIndex(service, 'tuned', 600)
  await service.must('POST', '/vectors/hnsw/promote/tuned/t-100?rebuild=lazy')
  await searchSome(service, 'tuned', 200)
  progress(`${indexes} indexes, ${trials} trials`)
}

async function session(browser: Browser, url: string): Promise<Measured[]> {
  const context = await browser.newContext({ baseURL: url })
  const page = await context.newPage()
  const devtools = await context.newCDPSession(page)
  await devtools.send('Performance.enable', { timeDomain: 'threadTicks' })
  const measured: Measured[] = []
  for (const { what, target, act, seen } of STEPS) {
    const at = target === undefined ? ([0, 0] as const) : await middleOf(target(page))
    const isLoad = target === undefined && what.startsWith('load')
    // A page that is loaded counts from nothing.
    const before = isLoad ? new Map<string, number>() : await metricsOf(devtools)
    await act(page, at)
    await sleep(what.includes('tuned') || isLoad ? LOAD_MS : ACT_MS)
    const now = await metricsOf(devtools)
    const ms = (name: string): number => 1000 * ((now.get(name) ?? 0) - (before.get(name) ?? 0))
    const layoutMs = ms('LayoutDuration') + ms('RecalcStyleDuration')
    measured.push({ what, scriptMs: ms('ScriptDuration'), layoutMs, taskMs: ms('TaskDuration') })
    await seen(page).first().waitFor()
  }
  await context.close()
  return measured
}

async function middleOf(target: Locator): Promise<Point> {
  await target.scrollIntoViewIfNeeded()
  const box = await target.boundingBox()
  if (box === null) throw new Error(`${String(target)} is not there`)
  return [box.x + box.width / 2, box.y + box.height / 2]
}

async function metricsOf(devtools: CDPSession): Promise<ReadonlyMap<string, number>> {
  const { metrics } = await devtools.send('Performance.getMetrics')
  return new Map(metrics.map(({ name, value }) => [name, value]))
}

function report(all: readonly Measured[]): void {
  const rows: Row[] = STEPS.map(({ what }) => {
    const own = all.filter((one) => one.what === what)
    return {
      what,
      script_ms: median(own.map(({ scriptMs }) => scriptMs)),
      script_min_ms: round(Math.min(...own.map(({ scriptMs }) => scriptMs))),
      script_max_ms: round(Math.max(...own.map(({ scriptMs }) => scriptMs))),
      layout_ms: median(own.map(({ layoutMs }) => layoutMs)),
      task_ms: median(own.map(({ taskMs }) => taskMs)),
    }
  })
  const longest = Math.max(...rows.map(({ script_ms: value }) => Number(value)))
  print(
    {
      bench: 'dashboard',
      parameters: { indexes, trials, points_of_curves: 7 * trials, runs },
      tables: { 'scripting of pages and interactions, median of the runs': rows },
      targets: [
        { name: 'scripting ms, longest', value: longest, bound: BOUND_MS, kind: 'at_most' },
      ],
      notes: [
        'All are CPU times of the main thread: a machine that is busy with something else does not count.',
        'task_ms holds scripting, layout and painting, with what polls in between.',
      ],
    },
    options,
  )
}

function median(values: readonly number[]): number {
  return round(values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0)
}

function round(ms: number): number {
  return Math.round(10 * ms) / 10
}
