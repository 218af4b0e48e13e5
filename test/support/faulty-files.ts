/**
 * A file system that fails, cuts or crashes at the Nth call, and can lose what was never synced.
 *
 *     const files = new FaultyFiles()
 *     files.strike(5, { kind: 'crash', when: 'half' })   // a write stops in its middle; all is over
 *     await files.losePower()                            // and the cache of the disk is gone too
 *
 * A crash is what a test of "every step" wants: run the scenario with a crash at call 1, 2, … until
 * it ends without one, each time opening what is under test again without faults. `half` does half
 * of a write and all of any other call. Kinds other than `crash` strike once. A sync only notes what
 * would be durable from then on: the real one would make such a test wait for the disk.
 */

import * as fs from 'node:fs/promises'
import { dirname } from 'node:path'
import type { FileSystem } from '../../src/buckets/local-files.ts'

export type FileFault =
  | { readonly kind: 'crash'; readonly when: 'before' | 'half' | 'after' }
  /** `half`: half of a write is done first. `times`: so many calls from there on fail. */
  | {
      readonly kind: 'error'
      readonly errno: string
      readonly half?: boolean
      readonly times?: number
    }
  /** A write takes half of its bytes and says so. */
  | { readonly kind: 'short' }

/** What every call throws from the crash on: the process is gone, nothing can handle it. */
export class CrashedFiles extends Error {
  override readonly name = 'CrashedFiles'
}

interface OpenFile {
  readonly target: fs.FileHandle
  readonly isFolder: boolean
  /** Follows a rename. */
  path: string
}

type Call = (...args: unknown[]) => Promise<unknown>

export class FaultyFiles {
  readonly system: FileSystem
  /** One line a call: what, and the path. */
  readonly calls: string[] = []
  #strikeAt = 0
  #fault: FileFault | null = null
  #crashed = false
  /** Bytes of each file that are durable. */
  readonly #synced = new Map<string, number>()
  readonly #open = new Map<fs.FileHandle, OpenFile>()
  /** Renames that no sync of the folder has made durable. */
  #renames: { readonly from: string; readonly to: string }[] = []

  constructor() {
    this.system = new Proxy(fs, {
      get: (target, name: keyof FileSystem) => this.#wrap(name, target[name] as Call),
    })
  }

  get crashed(): boolean {
    return this.#crashed
  }

  /** Strikes at the `nth` call from now. */
  strike(nth: number, fault: FileFault): void {
    this.#strikeAt = this.calls.length + nth
    this.#fault = fault
  }

  heal(): void {
    this.#fault = null
  }

  /** Closes what the crashed process had open; the next process may use these files. */
  async restart(): Promise<void> {
    for (const handle of this.#open.keys()) await handle.close()
    this.#open.clear()
    this.#crashed = false
    this.heal()
  }

  /** Takes away what a power cut may take: bytes that were not synced, names that were not. */
  async losePower(): Promise<void> {
    for (const { from, to } of this.#renames.reverse()) {
      await fs.rename(to, from)
      const synced = this.#synced.get(to)
      if (synced !== undefined) this.#synced.set(from, synced)
      this.#synced.delete(to)
    }
    for (const [path, bytes] of this.#synced) {
      const found = await fs.stat(path).catch(() => null)
      if (found !== null && found.size > bytes) await fs.truncate(path, bytes)
    }
  }

  #wrap(name: string, call: Call): Call {
    return async (...args) => {
      const path = String(args[0])
      return this.#run(`${name} ${path}`, async () => {
        const result = await call.apply(fs, args)
        if (name === 'rename') this.#renamed(path, String(args[1]))
        return name === 'open' ? this.#opened(result as fs.FileHandle, path, args[1]) : result
      })
    }
  }

  #renamed(from: string, to: string): void {
    this.#renames.push({ from, to })
    for (const file of this.#open.values()) if (file.path === from) file.path = to
    this.#synced.set(to, this.#synced.get(from) ?? 0)
    this.#synced.delete(from)
  }

  async #opened(handle: fs.FileHandle, path: string, flags: unknown): Promise<fs.FileHandle> {
    const isFolder = (await handle.stat()).isDirectory()
    const file = { target: handle, isFolder, path }
    this.#open.set(handle, file)
    if (flags === 'w+') this.#synced.set(path, 0)
    else if (!isFolder && !this.#synced.has(path)) {
      this.#synced.set(path, (await handle.stat()).size)
    }
    return new Proxy(handle, {
      get: (target, name: string) => {
        const value: unknown = Reflect.get(target, name)
        if (typeof value !== 'function') return value
        return (...args: unknown[]) => this.#onHandle(file, name, args)
      },
    })
  }

  async #onHandle(of: OpenFile, name: string, args: unknown[]): Promise<unknown> {
    const { target, path } = of
    const step = `${name} ${path}`
    if (name === 'close') {
      // The real file is closed in any case: a test must not leak it.
      this.#open.delete(target)
      await target.close()
      return this.#run(step, () => Promise.resolve(undefined))
    }
    const isSync = name === 'sync' || name === 'datasync'
    const half = (): Promise<unknown> => {
      const [bytes, offset, length, position] = args as [Uint8Array, number, number, number]
      return target.write(bytes, offset, length >> 1, position)
    }
    const work = async (): Promise<unknown> => {
      if (isSync) return this.#isSynced(of)
      return (Reflect.get(target, name) as Call).apply(target, args)
    }
    return this.#run(step, work, name === 'write' ? half : work)
  }

  async #isSynced(of: OpenFile): Promise<void> {
    if (of.isFolder) this.#renames = this.#renames.filter(({ to }) => dirname(to) !== of.path)
    else this.#synced.set(of.path, (await of.target.stat()).size)
  }

  async #run(
    step: string,
    work: () => Promise<unknown>,
    half: () => Promise<unknown> = work,
  ): Promise<unknown> {
    if (this.#crashed) throw new CrashedFiles('the process is gone')
    this.calls.push(step)
    const fault = this.#due()
    if (fault === null) return work()
    switch (fault.kind) {
      case 'short':
        return half()
      case 'error':
        if (fault.half === true) await half()
        throw Object.assign(new Error(`${fault.errno}: injected`), { code: fault.errno })
      case 'crash':
        this.#crashed = true
        if (fault.when !== 'before') await (fault.when === 'half' ? half() : work())
        throw new CrashedFiles(`crash at call ${this.calls.length}`)
    }
  }

  #due(): FileFault | null {
    const times = this.#fault?.kind === 'error' ? (this.#fault.times ?? 1) : 1
    const past = this.calls.length - this.#strikeAt
    return past >= 0 && past < times ? this.#fault : null
  }
}
