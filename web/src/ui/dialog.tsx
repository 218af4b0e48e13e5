/**
 * A dialog that asks before something is changed: it says what, takes the answer, and stays open with
 * the error where it fails. The element gives the focus back to where it came from.
 */

import type { ComponentChildren, JSX } from 'preact'
import { useEffect, useId, useRef, useState } from 'preact/hooks'
import { messageOf } from '../api/client.ts'

interface DialogProps {
  readonly title: string
  readonly children: ComponentChildren
  /** What the button does, as a verb. */
  readonly verb: string
  readonly isDanger?: boolean
  /** Rejects where it failed. */
  readonly onConfirm: (form: FormData) => Promise<void>
  readonly onClose: () => void
}

export function Dialog(props: DialogProps): JSX.Element {
  const { title, children, verb, isDanger = false, onConfirm, onClose } = props
  const element = useRef<HTMLDialogElement>(null)
  const id = useId()
  const [error, setError] = useState<unknown>(null)
  const [isBusy, setBusy] = useState(false)

  useEffect(() => {
    element.current?.showModal()
  }, [])

  const confirm = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault()
    if (!(event.target instanceof HTMLFormElement)) return
    setBusy(true)
    setError(null)
    try {
      await onConfirm(new FormData(event.target))
      element.current?.close()
    } catch (fault) {
      setError(fault)
      setBusy(false)
    }
  }
  return (
    <dialog ref={element} aria-labelledby={id} onClose={onClose}>
      <form method="dialog" onSubmit={(event) => void confirm(event)}>
        <h2 id={id}>{title}</h2>
        {children}
        {error !== null && (
          <p class="notice bad" role="alert">
            {messageOf(error)}
          </p>
        )}
        <div class="actions">
          <button type="button" onClick={() => element.current?.close()}>
            Cancel
          </button>
          <button type="submit" class={isDanger ? 'danger' : 'primary'} disabled={isBusy}>
            {isBusy ? 'Working…' : verb}
          </button>
        </div>
      </form>
    </dialog>
  )
}

interface FieldProps {
  readonly label: string
  readonly children: ComponentChildren
}

/** A control with its label. */
export function Field({ label, children }: FieldProps): JSX.Element {
  return (
    <label class="field">
      <span>{label}</span>
      {children}
    </label>
  )
}

/** What a form holds under `name`; empty where there is no such field. */
export function textOf(form: FormData, name: string): string {
  const value = form.get(name)
  return typeof value === 'string' ? value.trim() : ''
}
