/** The frame around every page: links, whether the server is there, the theme, the key. */

import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { apiKey, keyFault, reached, setKey } from './api/client.ts'
import icon from './icon.svg'
import { AgentPage } from './pages/agent.tsx'
import { BucketsPage } from './pages/buckets.tsx'
import { IndexPage } from './pages/index-page.tsx'
import { OperationsPage } from './pages/operations.tsx'
import { OverviewPage } from './pages/overview.tsx'
import { absolute, clock } from './format.ts'
import { hrefOf, parts } from './router.tsx'
import { theme, THEMES } from './theme.ts'
import { Badge } from './ui/basics.tsx'
import { Dialog, Field, textOf } from './ui/dialog.tsx'
import { Toast } from './ui/toast.tsx'

const LINKS = [
  ['Overview', ''],
  ['Operations', 'operations'],
  ['Agent', 'agent'],
  ['Buckets', 'buckets'],
] as const

export function App(): JSX.Element {
  const isAsking = useSignal(false)
  const [page = ''] = parts()
  useEffect(() => {
    const name = parts()[1] ?? LINKS.find(([, at]) => at === page)?.[0]
    document.title = name === undefined ? 'vectord' : `${name} · vectord`
  })
  return (
    <>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <Gone />
      <header class="bar">
        <div class="bar-in">
          <a class="brand" href={hrefOf()}>
            <img src={icon} alt="" /> vectord
          </a>
          <nav aria-label="Pages">
            <ul>
              {LINKS.map(([name, at]) => (
                <li key={at}>
                  <a href={hrefOf(...(at === '' ? [] : [at]))} {...currentIf(at === page)}>
                    {name}
                  </a>
                </li>
              ))}
            </ul>
          </nav>
          <div class="bar-end">
            <Connection />
            <ThemeSwitch />
            <button type="button" class="small" onClick={() => (isAsking.value = true)}>
              {apiKey.value === '' ? 'Key' : 'Key ✓'}
            </button>
          </div>
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        {keyFault.value === null ? <Page /> : <KeyNeeded onAsk={() => (isAsking.value = true)} />}
      </main>
      <Toast />
      {isAsking.value && <KeyDialog onClose={() => (isAsking.value = false)} />}
    </>
  )
}

function currentIf(is: boolean): { 'aria-current'?: 'page' } {
  return is ? { 'aria-current': 'page' } : {}
}

function Page(): JSX.Element {
  const [page = '', name, tab = ''] = parts()
  if (page === '') return <OverviewPage />
  if (page === 'indexes' && name !== undefined)
    return <IndexPage key={name} name={name} tab={tab} />
  if (page === 'operations') return <OperationsPage />
  if (page === 'agent') return <AgentPage />
  if (page === 'buckets') return <BucketsPage />
  return (
    <>
      <h1 tabIndex={-1}>There is no such page</h1>
      <p>
        <a href={hrefOf()}>Back to the overview</a>
      </p>
    </>
  )
}

/** Stands above everything while nobody answers. */
function Gone(): JSX.Element {
  const { state, sinceMs } = reached.value
  return (
    <div role="alert">
      {state === 'gone' && (
        <p class="gone" title={absolute(sinceMs)}>
          The server does not answer since {clock(sinceMs)}. What is shown is from before; it is
          asked again every few seconds.
        </p>
      )}
    </div>
  )
}

function Connection(): JSX.Element {
  const { state } = reached.value
  if (state === 'gone') return <Badge tone="bad">unreachable</Badge>
  return <Badge tone={state === 'live' ? 'good' : 'plain'}>{state === 'live' ? 'live' : '…'}</Badge>
}

function ThemeSwitch(): JSX.Element {
  return (
    <select
      aria-label="Colours"
      value={theme.value}
      onChange={(event) => {
        theme.value = THEMES.find((one) => one === event.currentTarget.value) ?? 'system'
      }}
    >
      <option value="system">Auto</option>
      <option value="light">Light</option>
      <option value="dark">Dark</option>
    </select>
  )
}

function KeyNeeded({ onAsk }: { onAsk: () => void }): JSX.Element {
  return (
    <>
      <h1 tabIndex={-1}>A key is needed</h1>
      <p class="notice warn" role="alert">
        {keyFault.value}
      </p>
      <p>The key stays in this tab and is forgotten when it closes.</p>
      <p>
        <button type="button" class="primary" onClick={onAsk}>
          Enter a key
        </button>
      </p>
    </>
  )
}

function KeyDialog({ onClose }: { onClose: () => void }): JSX.Element {
  return (
    <Dialog
      title="API key"
      verb="Use it"
      onClose={onClose}
      onConfirm={async (form) => setKey(textOf(form, 'key'))}
    >
      <p class="quiet">
        It is sent with each request, kept in this tab alone, and forgotten when the tab closes.
        Leave it empty to send none.
      </p>
      <Field label="Key">
        <input type="password" name="key" autocomplete="off" spellcheck={false} />
      </Field>
    </Dialog>
  )
}
