/**
 * The documents whose shell blocks are run, and what each of them needs beside a fresh service.
 */

import { globSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { ingestSystems, whenUp } from './ingest-systems.ts'
import { startOllama } from './ollama-server.ts'
import { readShellBlocks, type ShellBlock } from './shell-blocks.ts'

/** Paths from the root of the repository. */
export const DOCUMENTS: readonly string[] = ['README.md', ...globSync('docs/**/*.md').sort()]

/** What a document is run with. */
export interface DocumentWorld {
  /** Of the service. */
  readonly env?: Readonly<Record<string, string>>
  /** What stands in the document, and what is run instead. */
  readonly replace?: readonly (readonly [string, string])[]
  /** Blocks that hold this need what the machine lacks. */
  readonly without?: string
}

type Build = (t: TestContext, folder: string) => Promise<DocumentWorld>

const WORLDS: Readonly<Record<string, Build>> = {
  'docs/ingest.md': ingestWorld,
  'docs/profiles.md': profileWorld,
  'docs/text.md': textWorld,
}

/** The blocks of a document that are run, in their order. */
export function runBlocks(file: string): ShellBlock[] {
  return readShellBlocks(file).filter(({ notRun }) => notRun === null)
}

export function worldOf(file: string, t: TestContext, folder: string): Promise<DocumentWorld> {
  return WORLDS[file]?.(t, folder) ?? Promise.resolve({})
}

/** A second embedder of the dimension of the built-in one. */
async function textWorld(t: TestContext): Promise<DocumentWorld> {
  const ollama = await startOllama()
  t.after(() => ollama.close())
  ollama.addModel('other', { dimension: 512 })
  return {
    env: { VECTORD_EMBEDDERS_OLLAMA_URL: ollama.url, VECTORD_EMBEDDERS_OLLAMA_MODEL: 'other' },
  }
}

async function profileWorld(t: TestContext, folder: string): Promise<DocumentWorld> {
  const ollama = await startOllama()
  t.after(() => ollama.close())
  ollama.addModel('llama3.2', { bytes: 2e9, vramBytes: 2e9 })
  return {
    env: {
      VECTORD_EMBEDDERS_OLLAMA_URL: ollama.url,
      VECTORD_STORAGE_PROFILE_ROOT: join(folder, 'profiles'),
    },
  }
}

/** A real PostgreSQL with the table that the document reads. */
async function ingestWorld(t: TestContext): Promise<DocumentWorld> {
  const documented = 'postgres://reader:secret@db.example.org/shop'
  const { PostgreSQL: system } = ingestSystems(0)
  const server = (await system?.start()) ?? null
  if (system === undefined || server === null) return { without: documented }
  t.after(() => server.close())
  await whenUp(() => system.run(server.dsn(), 'SELECT 1'))
  await system.run(
    server.dsn(),
    'CREATE TABLE items (id bigint PRIMARY KEY, title text, embedding real[])',
    "INSERT INTO items VALUES (1, 'a loaf', '{1,0,0}'), (2, 'a pot of tea', '{0,1,0}')",
  )
  return { replace: [[documented, server.dsn()]] }
}
