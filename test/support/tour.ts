/**
 * The way of docs/getting-started.md: its blocks in a shell, and a look at the pages in between.
 */

import assert from 'node:assert/strict'
import type { Browser } from 'playwright-core'
import { watchPage } from './browser.ts'
import { readShellBlocks, type ShellBlock } from './shell-blocks.ts'
import type { ShellSession } from './shell-session.ts'

export const TOUR_FILE = 'docs/getting-started.md'
/** The index that the document makes. */
export const TOUR_INDEX = 'digits'

/** The block that promotes; after it the pages have something to show. */
const PROMOTES = '/vectors/hnsw/promote/'
const DESKTOP = { width: 1280, height: 1000 }

export interface Tour {
  readonly shell: ShellSession
  readonly url: string
  /** Runs one part of the way; by default just that. */
  readonly step?: (name: string, work: () => Promise<void>) => Promise<void>
  /** Once something is promoted. */
  readonly look: () => Promise<void>
}

/** The blocks that are run against a service, and the one that starts it, which is not. */
export function tourBlocks(): { readonly start: ShellBlock; readonly rest: readonly ShellBlock[] } {
  const [start, ...rest] = readShellBlocks(TOUR_FILE)
  assert.ok(start !== undefined && start.text.includes('npm start'), 'it begins with the start')
  assert.ok(rest.length >= 8 && rest.every(({ notRun }) => notRun === null))
  return { start, rest }
}

export async function runTour(blocks: readonly ShellBlock[], tour: Tour): Promise<void> {
  const { shell, url, step = plainly } = tour
  let looks = 0
  for (const block of blocks) {
    await step(block.section, async () => {
      await shell.run(block, url)
    })
    if (!block.text.includes(PROMOTES)) continue
    looks += 1
    await step('what is promoted', () => checkPromoted(url))
    await step('the dashboard', tour.look)
  }
  assert.equal(looks, 1, 'the document promotes once')
}

interface Recommendation {
  readonly verdict: string
  readonly trial_id: string | null
  readonly evidence: { readonly ef: number }
}

/** What serves is what the agent recommended, with the ef that it was judged at. */
async function checkPromoted(url: string): Promise<void> {
  const read = async (path: string): Promise<unknown> => (await fetch(url + path)).json()
  const { current } = (await read(`/vectors/hnsw/promoted/${TOUR_INDEX}`)) as {
    current: { trial_id: string; config: { ef_search: number } }
  }
  const { decisions } = (await read(`/vectors/agent/decisions/${TOUR_INDEX}?limit=100`)) as {
    decisions: readonly Recommendation[]
  }
  const recommended = decisions.find(
    ({ verdict, trial_id }) => verdict === 'recommend' && trial_id === current.trial_id,
  )
  assert.equal(current.config.ef_search, recommended?.evidence.ef)
}

function plainly(_name: string, work: () => Promise<void>): Promise<void> {
  return work()
}

/** What is promoted is seen on the pages of the index, and nothing goes wrong in them. */
export async function lookAtPages(
  browser: Browser,
  { url, picture }: { readonly url: string; readonly picture?: string },
): Promise<void> {
  const context = await browser.newContext({ viewport: DESKTOP })
  try {
    const page = await context.newPage()
    const faults = watchPage(page, url)
    await page.goto(`${url}/dashboard/indexes/${TOUR_INDEX}/history`)
    await page.getByText('as recommended').first().waitFor()
    await page.goto(`${url}/dashboard/indexes/${TOUR_INDEX}`)
    await page.getByRole('heading', { level: 1, name: TOUR_INDEX, exact: true }).waitFor()
    await page.locator('canvas').nth(1).waitFor()
    await page.getByText('promoted', { exact: false }).first().waitFor()
    if (picture !== undefined) await page.screenshot({ path: picture, fullPage: true })
    assert.deepEqual(faults, [])
  } finally {
    await context.close()
  }
}
