/**
 * The way of docs/getting-started.md with fewer points: real data, the agent, a promotion that is seen
 * in a real Chromium, and back. `npm run proof:tour` goes all of it, from a clone.
 */

import { it } from 'node:test'
import { noBrowser, startBrowser } from '../support/browser.ts'
import { startService, temporaryFolder } from '../support/service.ts'
import { ShellSession } from '../support/shell-session.ts'
import { lookAtPages, runTour, tourBlocks } from '../support/tour.ts'

/** Less of everything, so that it is one of the tests. */
const SMALLER = [
  ['POINTS=10000', 'POINTS=2500'],
  ['"max_trials_per_hour":6', '"max_trials_per_hour":3'],
] as const

it('from an empty service to a promotion on the dashboard, and back', async (t) => {
  const folder = await temporaryFolder(t)
  const service = await startService(await temporaryFolder(t))
  t.after(() => service.kill())
  await service.ready()
  const shell = new ShellSession({ folder, replace: SMALLER })
  t.after(() => shell.close())
  const { url } = service
  const look = async (): Promise<void> => {
    const without = noBrowser()
    if (without !== false) {
      t.diagnostic(`The pages were not looked at: ${without}`)
      return
    }
    const browser = await startBrowser()
    try {
      await lookAtPages(browser, { url })
    } finally {
      await browser.close()
    }
  }
  await runTour(tourBlocks().rest, { shell, url, look })
})
