/** The dialog that registers a bucket; the service probes it before it says yes. */

import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { call } from '../api/client.ts'
import { Dialog, Field, textOf } from '../ui/dialog.tsx'
import { tell } from '../ui/toast.tsx'

interface AddBucketDialogProps {
  readonly onDone: () => void
  readonly onClose: () => void
}

const CREDENTIALS = ['profile', 'file'] as const
type Source = 'environment' | (typeof CREDENTIALS)[number]

export function AddBucketDialog({ onDone, onClose }: AddBucketDialogProps): JSX.Element {
  const [backend, setBackend] = useState<'local' | 's3'>('local')
  const confirm = async (form: FormData): Promise<void> => {
    const name = textOf(form, 'name')
    await call('POST', '/storage/buckets', { body: { name, backend, ...placeOf(form, backend) } })
    tell(`Bucket ${name} is registered.`)
    onDone()
  }
  return (
    <Dialog title="Add a bucket" verb="Probe and add" onConfirm={confirm} onClose={onClose}>
      <div class="fields">
        <Field label="Name">
          <input name="name" required pattern="[A-Za-z0-9_\-]{1,128}" spellcheck={false} />
        </Field>
        <Field label="Kind">
          <select
            value={backend}
            onChange={(event) => setBackend(event.currentTarget.value === 's3' ? 's3' : 'local')}
          >
            <option value="local">Folder of the server</option>
            <option value="s3">S3</option>
          </select>
        </Field>
      </div>
      {backend === 'local' ? (
        <Field label="Folder">
          <input class="mono" name="root" required placeholder="/srv/vectors" spellcheck={false} />
        </Field>
      ) : (
        <S3Fields />
      )}
    </Dialog>
  )
}

function S3Fields(): JSX.Element {
  const [source, setSource] = useState<Source>('environment')
  return (
    <>
      <div class="fields">
        <Field label="Bucket in S3">
          <input name="bucket" required spellcheck={false} />
        </Field>
        <Field label="Prefix (ends with /)">
          <input name="prefix" pattern=".*/" spellcheck={false} />
        </Field>
        <Field label="Region">
          <input name="region" placeholder="us-east-1" spellcheck={false} />
        </Field>
        <Field label="Endpoint (empty: AWS)">
          <input name="endpoint" type="url" placeholder="https://s3.example.com" />
        </Field>
      </div>
      <div class="fields">
        <Field label="Credentials">
          <select
            value={source}
            onChange={(event) => {
              const chosen = event.currentTarget.value
              setSource(CREDENTIALS.find((one) => one === chosen) ?? 'environment')
            }}
          >
            <option value="environment">of the environment of the server</option>
            <option value="profile">a profile of the AWS files</option>
            <option value="file">a file on the server, mode 0600</option>
          </select>
        </Field>
        {source !== 'environment' && (
          <Field label={source === 'profile' ? 'Profile' : 'File'}>
            <input name={source} required spellcheck={false} />
          </Field>
        )}
      </div>
      <p class="small quiet">
        Keys themselves are not typed here: they would pass through a browser.
      </p>
    </>
  )
}

/** Fields that were left empty are left out. */
function placeOf(form: FormData, backend: 'local' | 's3'): Record<string, unknown> {
  const given = (names: readonly string[]): Record<string, string> =>
    Object.fromEntries(
      names.map((name) => [name, textOf(form, name)] as const).filter(([, value]) => value !== ''),
    )
  if (backend === 'local') return given(['root'])
  const credentials = given(CREDENTIALS)
  return {
    ...given(['bucket', 'prefix', 'region', 'endpoint']),
    ...(Object.keys(credentials).length > 0 && { credentials }),
  }
}
