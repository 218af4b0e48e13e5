/** What the forms and lines of a chart mean. */

import type { JSX } from 'preact'

export type Sign = 'dot' | 'disc' | 'diamond' | 'triangle' | 'line' | 'dashed' | 'upright'

interface Entry {
  readonly sign: Sign
  /** A colour of the theme. */
  readonly colour: string
  readonly text: string
}

export function Legend({ entries }: { entries: readonly Entry[] }): JSX.Element {
  return (
    <ul class="legend">
      {entries.map(({ sign, colour, text }) => (
        <li key={text}>
          <svg viewBox="0 0 18 12" aria-hidden="true" style={{ color: `var(--${colour})` }}>
            <SignShape sign={sign} />
          </svg>
          {text}
        </li>
      ))}
    </ul>
  )
}

function SignShape({ sign }: { sign: Sign }): JSX.Element {
  switch (sign) {
    case 'dot':
      return <rect x="7" y="4" width="4" height="4" fill="currentcolor" />
    case 'disc':
      return <circle cx="9" cy="6" r="5" fill="currentcolor" />
    case 'diamond':
      return <path d="M9 0 15 6 9 12 3 6Z" fill="currentcolor" />
    case 'triangle':
      return <path d="M9 0 15 11 3 11Z" fill="currentcolor" />
    case 'line':
      return <path d="M0 6H18" stroke="currentcolor" stroke-width="2.5" />
    case 'dashed':
      return <path d="M0 6H18" stroke="currentcolor" stroke-width="2" stroke-dasharray="4 3" />
    case 'upright':
      return <path d="M9 0V12" stroke="currentcolor" stroke-width="2.5" />
  }
}
