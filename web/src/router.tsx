/**
 * Which page is shown: the path of the address. Links are plain links; those to pages here are
 * followed without loading anew, and the heading of the new page gets the focus.
 */

import { signal } from '@preact/signals'

const HOME = '/dashboard'

const path = signal(location.pathname)

/** The parts of the path behind `/dashboard`. */
export function parts(): readonly string[] {
  return path.value
    .slice(HOME.length)
    .split('/')
    .filter((part) => part !== '')
    .map((part) => decodeURIComponent(part))
}

export function hrefOf(...names: readonly string[]): string {
  return [HOME, ...names.map((name) => encodeURIComponent(name))].join('/')
}

function show(pathname: string): void {
  if (pathname === path.value) return
  path.value = pathname
  scrollTo(0, 0)
  requestAnimationFrame(() => document.querySelector('h1')?.focus({ preventScroll: true }))
}

export function startRouter(): void {
  addEventListener('popstate', () => show(location.pathname))
  document.addEventListener('click', (event) => {
    const link = event.target instanceof Element ? event.target.closest('a') : null
    if (link === null || !isOurs(link, event)) return
    event.preventDefault()
    history.pushState(null, '', link.pathname)
    show(link.pathname)
  })
}

function isOurs(link: HTMLAnchorElement, event: MouseEvent): boolean {
  if (event.defaultPrevented || event.button !== 0) return false
  if (hasModifier(event)) return false
  if (link.target !== '' || link.origin !== location.origin || link.hash !== '') return false
  return link.pathname === HOME || link.pathname.startsWith(`${HOME}/`)
}

function hasModifier({ metaKey, ctrlKey, shiftKey, altKey }: MouseEvent): boolean {
  return metaKey || ctrlKey || shiftKey || altKey
}
