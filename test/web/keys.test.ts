/** The dashboard where keys are needed: it asks for one, keeps it in the tab, and shows what it may. */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { noBrowser, startBrowser } from '../support/browser.ts'
import { keyLine } from '../support/http-app.ts'
import { startService, temporaryFolder } from '../support/service.ts'

const KEYS = [
  keyLine('ops', 'admin', 'admin-secret'),
  keyLine('team', 'read', 'team-secret', 'team-'),
].join(',')

describe('dashboard with keys', { skip: noBrowser() }, () => {
  it('a key is asked for, kept in the tab alone, and bounds what is shown', async (t) => {
    const service = await startService(await temporaryFolder(t), {
      env: { VECTORD_AUTH_KEYS: KEYS, VECTORD_DATAPLANE_CORES: '1' },
    })
    t.after(() => service.kill())
    await service.ready()
    const admin = { authorization: 'Bearer admin-secret' }
    for (const name of ['team-a', 'others']) {
      await service.request('POST', '/vectors/indexes', { name, dimension: 3 }, admin)
    }
    const browser = await startBrowser()
    t.after(() => browser.close())
    const context = await browser.newContext()
    context.setDefaultTimeout(30_000)
    const page = await context.newPage()
    const enter = async (key: string): Promise<void> => {
      await page.getByLabel('Key', { exact: true }).fill(key)
      await page.getByRole('button', { name: 'Use it' }).click()
    }

    await page.goto(`${service.url}/dashboard`)
    await page.getByRole('heading', { name: 'A key is needed' }).waitFor()
    await page.getByRole('button', { name: 'Enter a key' }).click()
    await enter('a-wrong-one')
    await page.getByText('This API key is not known.').waitFor()
    await page.getByRole('button', { name: 'Enter a key' }).click()
    await enter('team-secret')
    await page.getByRole('link', { name: 'team-a' }).waitFor()
    assert.equal(await page.getByText('others').count(), 0)
    assert.equal(await page.getByText('Memory of points').count(), 0, 'a limited key sees no whole')
    const stored = await page.evaluate('[JSON.stringify(localStorage), document.cookie].join()')
    assert.doesNotMatch(String(stored), /secret/)

    // What a key may not do is told where it was asked for.
    await page.goto(`${service.url}/dashboard/indexes/team-a/data`)
    await page.getByRole('button', { name: 'Rebuild…' }).click()
    await page.getByRole('button', { name: 'Begin' }).click()
    await page.getByText('This needs a key with the role write.').waitFor()
    await page.getByRole('button', { name: 'Cancel' }).click()

    const other = await context.newPage()
    await other.goto(`${service.url}/dashboard`)
    await other.getByRole('heading', { name: 'A key is needed' }).waitFor()
    await other.close()

    await page.getByRole('button', { name: 'Key ✓' }).click()
    await enter('admin-secret')
    await page.getByRole('link', { name: 'Overview' }).click()
    await page.getByRole('link', { name: 'others' }).waitFor()
    await page.getByText('Memory of points').waitFor()
  })
})
