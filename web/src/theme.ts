/** Light or dark: what the system says, unless the reader chose; the choice is kept. */

import { effect, signal } from '@preact/signals'

export const THEMES = ['system', 'light', 'dark'] as const
export type Theme = (typeof THEMES)[number]

const ITEM = 'vectord-theme'

export const theme = signal<Theme>(
  THEMES.find((one) => one === localStorage.getItem(ITEM)) ?? 'system',
)

/** Goes up whenever the colours change: what is painted by hand paints again. */
export const colours = signal(0)

export function startTheme(): void {
  effect(() => {
    document.documentElement.dataset['theme'] = theme.value
    localStorage.setItem(ITEM, theme.value)
    colours.value = colours.peek() + 1
  })
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    colours.value += 1
  })
}

/** The colour that `--name` stands for now, for canvases. */
export function colour(name: string): string {
  const probe = document.documentElement
  const before = probe.style.outlineColor
  probe.style.outlineColor = `var(--${name})`
  const found = getComputedStyle(probe).outlineColor
  probe.style.outlineColor = before
  return found
}
