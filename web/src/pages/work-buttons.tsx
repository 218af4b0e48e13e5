/** Buttons that begin long work on an index, each after asking. */

import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { call } from '../api/client.ts'
import type { IndexInfo } from '../api/types.ts'
import { Dialog } from '../ui/dialog.tsx'
import { tell } from '../ui/toast.tsx'

const WORKS = {
  checkpoint: {
    name: 'Checkpoint',
    what: 'Writes what changed into the bucket, so that a start reads less of the log.',
  },
  rebuild: {
    name: 'Rebuild',
    what: 'Builds a new graph beside serving and publishes it. Searches and writes go on.',
  },
  compact: {
    name: 'Compact',
    what: 'Builds the graph anew and takes dead rows out of memory and of the bucket.',
  },
} as const

type Work = keyof typeof WORKS

interface WorkButtonsProps {
  readonly info: IndexInfo
  readonly onStarted: () => void
}

export function WorkButtons({ info, onStarted }: WorkButtonsProps): JSX.Element | null {
  const [asked, setAsked] = useState<Work | null>(null)
  if (info.backend !== 'hnsw') return null
  const confirm = async (): Promise<void> => {
    if (asked === null) return
    await call('POST', `/vectors/indexes/${encodeURIComponent(info.name)}/${asked}`)
    tell(`${WORKS[asked].name} of ${info.name} has begun: see the tab Operations.`)
    onStarted()
  }
  return (
    <span class="row">
      {(Object.keys(WORKS) as Work[]).map((work) => (
        <button type="button" class="small" key={work} onClick={() => setAsked(work)}>
          {WORKS[work].name}…
        </button>
      ))}
      {asked !== null && (
        <Dialog
          title={`${WORKS[asked].name} ${info.name}?`}
          verb="Begin"
          onConfirm={confirm}
          onClose={() => setAsked(null)}
        >
          <p>{WORKS[asked].what}</p>
        </Dialog>
      )}
    </span>
  )
}
