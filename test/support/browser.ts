/**
 * Debian's Chromium, without a window and without a word to any other host, for tests of pages.
 *
 * Where there is none the tests are skipped with the reason; `VECTORD_TEST_REQUIRE_SERVICES=1` makes
 * them fail instead.
 */

import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { chromium, type Browser, type Page } from 'playwright-core'

const PROGRAM = '/usr/bin/chromium'
const FLAGS = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
  ...['--disable-background-networking', '--disable-component-update'],
]

/** Why there are no browser tests on this machine; false where there are. */
export function noBrowser(): string | false {
  const isRequired = process.env['VECTORD_TEST_REQUIRE_SERVICES'] === '1'
  if (existsSync(PROGRAM) || isRequired) return false
  return `there is no ${PROGRAM} (Debian: apt-get install -y chromium)`
}

/** In a profile of its own, which is gone with it. @throws where there is none. */
export function startBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: PROGRAM, args: FLAGS })
}

/** What went wrong in a page, and what it asked of other hosts; empty where all is well. */
export function watchPage(page: Page, origin: string): readonly string[] {
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(`error: ${error.message}`))
  page.on('console', (message) => {
    const isNetwork = message.text().startsWith('Failed to load resource')
    if (message.type() === 'error' && !isNetwork) faults.push(`console: ${message.text()}`)
  })
  page.on('request', (request) => {
    const url = request.url()
    if (!url.startsWith(origin) && !url.startsWith('data:')) faults.push(`asked ${url}`)
  })
  return faults
}

interface Violation {
  readonly id: string
  readonly impact: string
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[]
}

/** Accessibility problems that axe calls serious or critical, in words. */
export async function axeFaults(page: Page): Promise<readonly string[]> {
  await page.evaluate(await axeSource())
  const { violations }: { violations: Violation[] } = await page.evaluate('axe.run()')
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html} ${node.failureSummary}`))
}

function axeSource(): Promise<string> {
  return readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
}

/** True where the page itself can be scrolled sideways. */
export async function isTooWide(page: Page): Promise<boolean> {
  // Two frames on: charts are told of their size after a layout.
  return page.evaluate<boolean>(`new Promise((resolve) => {
    const look = () => {
      const { scrollWidth, clientWidth } = document.documentElement
      resolve(scrollWidth > clientWidth)
    }
    requestAnimationFrame(() => requestAnimationFrame(look))
  })`)
}
