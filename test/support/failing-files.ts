/**
 * A file system for `LocalStore` that notes every call and fails the Nth one: full disks, I/O
 * errors, writes that stop in the middle.
 */

import * as fs from 'node:fs/promises'
import type { FileSystem } from '../../src/buckets/local-files.ts'

type Call = (this: unknown, ...args: unknown[]) => Promise<unknown>

export interface FailingFiles {
  readonly system: FileSystem
  /** One line a call: the function and its first path. Handles are named by the path they opened. */
  readonly calls: string[]
  /** Fails the Nth call from now on, once, with this errno. */
  fail(nth: number, errno: string): void
  /** The next write of a file stores only so many bytes and then says ENOSPC. */
  shortWrite(bytes: number): void
  /** Takes the fault back; answers the name of the call that had it, or null. */
  heal(): string | null
}

export function failingFiles(): FailingFiles {
  const calls: string[] = []
  let left = 0
  let errno = ''
  let fired: string | null = null
  let shortBytes: number | null = null

  function step(name: string, path: string): void {
    calls.push(`${name} ${path}`)
    if (left === 0) return
    left -= 1
    if (left > 0) return
    fired = name
    throw Object.assign(new Error(`${errno}: injected`), { code: errno })
  }

  const system = new Proxy(fs, {
    get(target, name: keyof FileSystem) {
      return async (...args: unknown[]) => {
        step(name, String(args[0]))
        const result = await (target[name] as Call)(...args)
        return name === 'open' ? handle(result as fs.FileHandle, String(args[0])) : result
      }
    },
  })

  function handle(real: fs.FileHandle, path: string): fs.FileHandle {
    return new Proxy(real, {
      get(target, name: string) {
        const value: unknown = Reflect.get(target, name)
        if (typeof value !== 'function') return value
        return async (...args: unknown[]) => {
          if (name === 'close') await target.close()
          step(name, path)
          if (name === 'close') return undefined
          if (name === 'writeFile' && shortBytes !== null) {
            await target.write(args[0] as Uint8Array, 0, shortBytes)
            shortBytes = null
            throw Object.assign(new Error('ENOSPC: injected'), { code: 'ENOSPC' })
          }
          return (value as Call).apply(target, args)
        }
      },
    })
  }

  return {
    system,
    calls,
    fail(nth, code) {
      left = nth
      errno = code
      fired = null
    },
    shortWrite(bytes) {
      shortBytes = bytes
    },
    heal() {
      left = 0
      return fired
    },
  }
}
