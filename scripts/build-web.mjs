/**
 * Builds the pages of the dashboard, web/, into web/dist; `npm ci` runs it.
 *
 * Nothing is inlined and nothing comes from elsewhere: the content policy of the pages allows files of
 * this origin only. Where the packages of development are left out there is nothing to build with;
 * images take the built pages from another stage.
 */

import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const WEB = join(ROOT, 'web')

const vite = await import('vite').catch((error) => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error
  return null
})
if (vite === null) console.log('The dashboard is not built: vite is not installed here.')
else {
  await vite.build({
    root: WEB,
    configFile: false,
    base: '/dashboard/',
    logLevel: 'warn',
    oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
    build: {
      outDir: join(WEB, 'dist'),
      emptyOutDir: true,
      target: 'es2022',
      // Those that know light-dark().
      cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
    },
  })
  console.log('web/dist: the pages of the dashboard are built')
}
