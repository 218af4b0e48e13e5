/**
 * The dashboard in a real Chromium over a real service: every page, what is clicked, what fails.
 *
 * How: one browser, one service with trials in its journal, a fresh context for each test.
 * VECTORD_TEST_SHOTS names a folder for pictures of the pages.
 */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it, type TestContext } from 'node:test'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { axeFaults, isTooWide, noBrowser, startBrowser, watchPage } from '../support/browser.ts'
import {
  bucketOf,
  fillIndex,
  searchSome,
  writeDecisions,
  writeTrials,
} from '../support/dashboard-world.ts'
import { startService, type Service } from '../support/service.ts'

const TRIALS = 120
const DECISIONS = 30
const DESKTOP = { width: 1280, height: 900 }
const PHONE = { width: 375, height: 760 }
const QUERY = '0.1, 0.2, 0.3, 0.4, 0.5, 0.1, 0.2, 0.3'
const ENV = {
  VECTORD_SEARCH_FLAT_THRESHOLD: '50',
  VECTORD_DATAPLANE_CORES: '1',
  VECTORD_AGENT_ENABLED: 'true',
  VECTORD_AGENT_MODE: 'recommend',
  VECTORD_AGENT_MAX_TRIALS_PER_HOUR: '0',
  VECTORD_RECALL_SAMPLE_CPU_SHARE: '1',
  VECTORD_RECALL_MAX_SAMPLE_RATE: '1',
}

const PAGES = {
  overview: ['/dashboard', 'Overview', 'Recall goals held'],
  tuning: ['/dashboard/indexes/notes', 'notes', 'Journal of trials'],
  history: ['/dashboard/indexes/notes/history', 'notes', 'first good one'],
  search: ['/dashboard/indexes/notes/search', 'notes', 'The exact answer beside it'],
  data: ['/dashboard/indexes/notes/data', 'notes', 'published'],
  work: ['/dashboard/indexes/notes/operations', 'notes', 'checkpoint'],
  'agent-of-index': ['/dashboard/indexes/notes/agent', 'notes', 'What comes next'],
  operations: ['/dashboard/operations', 'Operations', 'checkpoint'],
  agent: ['/dashboard/agent', 'Autotune agent', 'recommend'],
  buckets: ['/dashboard/buckets', 'Buckets', 'No failure is on record.'],
  empty: ['/dashboard/indexes/empty', 'empty', 'Nothing was measured'],
  nowhere: ['/dashboard/nowhere', 'There is no such page', 'Back to the overview'],
} as const

interface Promoted {
  readonly current: { readonly trial_id: string; readonly note: string | null } | null
}

/** A picture of it, where pictures are wanted. */
async function shoot(page: Page, name: string): Promise<void> {
  const folder = process.env['VECTORD_TEST_SHOTS']
  if (folder === undefined) return
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true })
}

describe('dashboard', { skip: noBrowser(), concurrency: false }, () => {
  let browser: Browser
  let service: Service
  let root: string

  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'vectord-pages-'))
    await writeTrials(bucketOf(root), 'notes', TRIALS)
    await writeDecisions(bucketOf(root), 'notes', DECISIONS)
    service = await startService(root, { env: ENV })
    await service.ready()
    await fillIndex(service, 'notes', 600)
    await service.must('POST', '/vectors/indexes', { name: 'empty', dimension: 3 })
    const note = 'note=first%20good%20one&promoted_by=ada'
    await service.must('POST', `/vectors/hnsw/promote/notes/t-40?${note}&rebuild=lazy`)
    await service.must('POST', '/vectors/indexes/notes/rebuild?wait=true')
    await searchSome(service, 'notes', 130)
    await service.must('POST', '/vectors/indexes/notes/checkpoint?wait=true')
    browser = await startBrowser()
  })

  after(async () => {
    await browser.close()
    await service.kill()
    await rm(root, { recursive: true, force: true, maxRetries: 5 })
  })

  /** A page in a context of its own; the test fails where anything went wrong in it. */
  async function open(
    t: TestContext,
    path: string,
    options: BrowserContextOptions = {},
  ): Promise<Page> {
    const context = await browser.newContext({ viewport: DESKTOP, ...options })
    context.setDefaultTimeout(30_000)
    const page = await context.newPage()
    const faults = watchPage(page, service.url)
    t.after(async () => {
      await context.close()
      assert.deepEqual(faults, [])
    })
    await page.goto(service.url + path)
    return page
  }

  const promoted = async (): Promise<Promoted['current']> => {
    const { body } = await service.request('GET', '/vectors/hnsw/promoted/notes')
    return (body as Promoted).current
  }

  for (const [look, options] of [
    ['light', { colorScheme: 'light' }],
    ['dark', { colorScheme: 'dark' }],
    ['phone', { viewport: PHONE }],
  ] as const) {
    it(`every page is there, accessible and within the screen: ${look}`, async (t) => {
      const page = await open(t, '/dashboard', options)
      for (const [name, [path, title, text]] of Object.entries(PAGES)) {
        await page.goto(service.url + path)
        await page.getByRole('heading', { level: 1, name: title, exact: true }).waitFor()
        await page.getByText(text).first().waitFor()
        if (name === 'tuning') await page.locator('canvas').nth(1).waitFor()
        assert.equal(await isTooWide(page), false, `${name} is wider than the screen`)
        assert.deepEqual(await axeFaults(page), [], name)
        await shoot(page, `${look}-${name}`)
      }
    })
  }

  it('charts shrink with the screen', async (t) => {
    const page = await open(t, PAGES.tuning[0])
    await page.locator('canvas').nth(1).waitFor()
    await page.setViewportSize(PHONE)
    const fits = `document.querySelector('canvas').clientWidth < ${PHONE.width}`
    await page.waitForFunction(fits, undefined, { timeout: 5000 })
    assert.equal(await isTooWide(page), false)
  })

  it('the policy of the page is strict, and nothing on it breaks it', async (t) => {
    const page = await open(t, '/dashboard')
    const reply = await service.request('GET', '/dashboard/indexes/notes')
    assert.match(String(reply.headers.get('content-security-policy')), /default-src 'none'/)
    assert.doesNotMatch(reply.text, /<style|style=|<script>/)
    await page.getByRole('link', { name: 'notes' }).click()
    await page.locator('canvas').first().waitFor()
    await page.evaluate('document.querySelector("select").removeAttribute("aria-label")')
    assert.match((await axeFaults(page)).join(), /^select-name/, 'what is wrong would be found')
  })

  it('an index of another backend has no parts about graphs, and breaks nothing', async (t) => {
    const page = await open(t, '/dashboard')
    await page.route('**/vectors/indexes/empty', async (route) => {
      const reply = await route.fetch()
      const {
        hnsw: _,
        stats: __,
        compaction: ___,
        ...info
      } = (await reply.json()) as object &
        Readonly<Record<'hnsw' | 'stats' | 'compaction', unknown>>
      const lance = { index_kind: 'ivf_pq', nprobes: 20, refine_factor: null, shown: null }
      await route.fulfill({ response: reply, json: { ...info, backend: 'lance', lance } })
    })
    await page.goto(`${service.url}/dashboard/indexes/empty`)
    await page.getByText('ivf_pq').waitFor()
    await page.getByRole('button', { name: 'Search' }).waitFor()
    assert.equal(await page.getByRole('link', { name: 'Tuning' }).count(), 0)
    await page.getByRole('link', { name: 'Data' }).click()
    await page.getByText('In the bucket').waitFor()
    assert.equal(await page.getByRole('button', { name: 'Rebuild…' }).count(), 0)
  })

  it('a trial is promoted by clicking: what changes is shown, and why is kept', async (t) => {
    const page = await open(t, '/dashboard/indexes/notes')
    await page.getByRole('button', { name: 'Promote trial t-117' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('What changes').waitFor({ state: 'attached' })
    assert.match(await dialog.locator('tr', { hasText: 'links of a point' }).innerText(), /20\s+40/)
    assert.ok((await dialog.locator('td.changed').count()) >= 2)
    assert.deepEqual(await axeFaults(page), [])
    await shoot(page, 'dialog')
    await dialog.getByLabel('Why').fill('cheaper at the goal')
    await dialog.getByRole('button', { name: 'Promote' }).click()
    await page.getByRole('status').getByText('notes is promoted.').waitFor()
    assert.equal(await page.getByRole('dialog').count(), 0)
    const now = await promoted()
    assert.deepEqual([now?.trial_id, now?.note], ['t-117', 'cheaper at the goal'])
    await page.getByRole('row', { name: /t-117/ }).getByText('in force').waitFor()
  })

  it('a configuration is rolled back and forward by clicking', async (t) => {
    const page = await open(t, '/dashboard/indexes/notes/history')
    const before = (await promoted())?.trial_id
    await page.getByRole('button', { name: 'Roll back…' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Roll back' }).click()
    await page.getByRole('status').getByText('rolled back').waitFor()
    assert.equal((await promoted())?.trial_id, 't-40')
    await page.getByRole('cell', { name: 'rollback' }).first().waitFor()
    await page.getByRole('button', { name: 'Roll forward…' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Roll forward' }).click()
    await page.getByRole('status').getByText('rolled forward').waitFor()
    assert.equal((await promoted())?.trial_id, before)
  })

  it('an action that fails says why, changes nothing, and can be tried again', async (t) => {
    const page = await open(t, '/dashboard/indexes/notes/history')
    await page.getByRole('button', { name: 'Roll back…' }).click()
    // Somebody else is quicker: what the dialog shows is not what would happen.
    await service.must('POST', '/vectors/hnsw/promote/notes/t-100?rebuild=lazy')
    const dialog = page.getByRole('dialog')
    await dialog.getByRole('button', { name: 'Roll back' }).click()
    await dialog.getByRole('alert').waitFor()
    assert.match(await dialog.getByRole('alert').innerText(), /revision/i)
    assert.equal((await promoted())?.trial_id, 't-100')
    await dialog.getByRole('button', { name: 'Cancel' }).click()
    await page.getByRole('rowheader', { name: /^\d+$/ }).first().waitFor()
  })

  it('a search shows results, path and time, and the exact answer beside it', async (t) => {
    const page = await open(t, '/dashboard/indexes/notes/search')
    await page.getByLabel('Vector: 8 numbers').fill('1, x')
    await page.getByRole('button', { name: 'Search' }).click()
    await page.getByText('Number 2 of the vector cannot be read.').waitFor()
    await page.getByLabel('Vector: 8 numbers').fill(QUERY)
    await page.getByLabel('Filter on metadata (JSON)').fill('{"year":{"$gte":2010}}')
    await page.getByRole('button', { name: 'Search' }).click()
    await page.getByText(/recall [01]\.\d+/).waitFor()
    assert.equal(await page.locator('.hit').count(), 20)
    const facts = await page.locator('.facts', { hasText: 'ef used' }).innerText()
    assert.match(facts, /Path\s+(graph|exact)[^]*Time\s+[\d.]+ ms/)
    await page.getByLabel('Text', { exact: true }).check()
    await page.getByLabel(/Words/).fill('rivers')
    await page.getByRole('button', { name: 'Search' }).click()
    await page.getByText('keyword', { exact: true }).waitFor()
  })

  it('the choice of colours is kept', async (t) => {
    const page = await open(t, '/dashboard', { colorScheme: 'light' })
    const ground = (): Promise<unknown> =>
      page.evaluate('getComputedStyle(document.body).backgroundColor')
    const light = await ground()
    await page.getByLabel('Colours').selectOption('dark')
    const dark = await ground()
    assert.notEqual(dark, light)
    await page.reload()
    await page.getByRole('heading', { name: 'Overview' }).waitFor()
    assert.equal(await ground(), dark)
  })

  it('the keyboard is enough: skip link, links, dialog and back', async (t) => {
    const page = await open(t, '/dashboard')
    await page.getByRole('link', { name: 'notes' }).waitFor()
    const focused = (): Promise<unknown> =>
      page.evaluate('document.activeElement.textContent.trim().slice(0, 30)')
    await page.keyboard.press('Tab')
    assert.equal(await focused(), 'Skip to the content')
    await page.getByRole('link', { name: 'Buckets', exact: true }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { level: 1, name: 'Buckets' }).waitFor()
    await page.waitForFunction('document.activeElement.tagName === "H1"')
    await page.getByRole('button', { name: 'Add a bucket…' }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    assert.equal(await focused(), 'Add a bucket…')
  })

  it('a bucket is added and removed by clicking; one that cannot be is told', async (t) => {
    const page = await open(t, '/dashboard/buckets')
    const add = async (folder: string): Promise<void> => {
      await page.getByLabel('Name').fill('second')
      await page.getByLabel('Folder', { exact: true }).fill(folder)
      await page.getByRole('button', { name: 'Probe and add' }).click()
    }
    await page.getByRole('button', { name: 'Add a bucket…' }).click()
    await add('not/absolute')
    await page.getByRole('dialog').getByRole('alert').waitFor()
    await add(join(root, 'second'))
    await page.getByRole('rowheader', { name: 'second' }).waitFor()
    await page.getByRole('button', { name: 'Remove bucket second' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click()
    await page.getByRole('rowheader', { name: 'second' }).waitFor({ state: 'detached' })
  })

  it('the agent is held on its reins: the mode changes after asking', async (t) => {
    const page = await open(t, '/dashboard/indexes/notes/agent')
    await page.getByRole('button', { name: 'Change…' }).click()
    await page.getByLabel('Mode').selectOption('observe')
    await page.getByRole('dialog').getByRole('button', { name: 'Change' }).click()
    await page.getByText('observe: it measures and tells').waitFor()
    const { body } = await service.request('GET', '/vectors/agent/notes')
    assert.equal((body as { mode: string }).mode, 'observe')
  })

  it('every decision is there in pages, each with what it rests on', async (t) => {
    const page = await open(t, '/dashboard/indexes/notes/agent')
    const decisions = page.getByRole('region', { name: 'Decisions', exact: true })
    await decisions.getByRole('cell', { name: 'Trial 30 is not cheaper' }).waitFor()
    assert.equal(await decisions.getByText('Trial 1 is not cheaper').count(), 0)
    const row = decisions.getByRole('row', { name: /Trial 30 is/ })
    await row.getByText('What it rests on').click()
    assert.match(await row.innerText(), /recall lcb\s+0\.95125[^]*"misses": 30/)
    assert.match(await row.innerText(), /reject\s+nothing was changed/)
    assert.equal(await isTooWide(page), false)
    assert.deepEqual(await axeFaults(page), [])
    await shoot(page, 'decisions')
    await decisions.getByRole('button', { name: 'Next' }).click()
    await decisions.getByRole('cell', { name: 'Trial 1 is not cheaper' }).waitFor()
    assert.equal(await decisions.getByText('Trial 30 is not cheaper').count(), 0)
    await decisions.getByRole('button', { name: 'Back' }).click()
    await decisions.getByRole('cell', { name: 'Trial 30 is not cheaper' }).waitFor()
  })

  it('recall is told for each kind of search, and the reasons of each trial', async (t) => {
    const body = { vector: QUERY.split(',').map(Number), include: [] }
    let kinds = 0
    // What was measured before another configuration came into force is not told any more.
    for (let i = 0; i < 500 && kinds < 2; i += 1) {
      for (const k of [10, 20]) {
        await service.must('POST', '/vectors/indexes/notes/search', { ...body, k })
      }
      const report = await service.must('GET', '/vectors/indexes/notes/recall')
      kinds = (report as { strata: unknown[] }).strata.length
    }
    const page = await open(t, '/dashboard/indexes/notes')
    await page.getByText('Recall by kind of search').first().click()
    const strata = page.getByRole('region', { name: 'Recall by kind of search' })
    await strata.getByRole('row', { name: /^1-10 all: no filter/ }).waitFor()
    const more = strata.getByRole('row', { name: /^11-50 all: no filter/ })
    await more.waitFor()
    assert.match(await more.innerText(), /goal 0\.90, few samples[^]*unknown/)
    assert.equal(await isTooWide(page), false)
    assert.deepEqual(await axeFaults(page), [])
    await shoot(page, 'strata')
    const trial = page.getByRole('row', { name: /Show trial t-117/ })
    await trial.locator('summary').click()
    assert.match(await trial.innerText(), /mode\s+baseline\s+len\s+0/)
  })

  it('what somebody else changed while a dialog was open is told, not overwritten', async (t) => {
    const page = await open(t, '/dashboard/indexes/notes/agent')
    await page.getByRole('button', { name: 'Change…' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Trials an hour').fill('3')
    await service.must('PUT', '/vectors/agent/notes', { mode: 'off' })
    // The page behind the dialog is read anew; what the dialog was opened with stays.
    await page.getByText('off: it does nothing').waitFor()
    await dialog.getByRole('button', { name: 'Change' }).click()
    await dialog.getByRole('alert').waitFor()
    const { body } = await service.request('GET', '/vectors/agent/notes')
    assert.equal((body as { mode: string }).mode, 'off')
  })

  it('a server that is gone is told at once, and found again', async (t) => {
    const page = await open(t, '/dashboard')
    await page.getByRole('link', { name: 'notes' }).waitFor()
    const { port } = new URL(service.url)
    await service.kill()
    await page.getByText(/The server does not answer since \d\d:\d\d/).waitFor()
    assert.equal(await page.getByRole('link', { name: 'notes' }).count(), 1, 'what was shown stays')
    service = await startService(root, { env: { ...ENV, VECTORD_SERVER_PORT: port } })
    await page.getByText('live', { exact: true }).waitFor()
    assert.equal(await page.getByText(/does not answer/).count(), 0)
  })
})
