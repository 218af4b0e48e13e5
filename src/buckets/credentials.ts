/**
 * Where the credentials of an S3 bucket come from: documents and answers hold the source, never the
 * secret.
 *
 * Files with secrets must be closed to everybody but their owner. What came within a request goes
 * into such a file under the storage root at once, and only its name is kept.
 */

import { randomUUID } from 'node:crypto'
import { chmod, mkdir, open, rename, unlink } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { BucketSpec } from '../domain/shard-spec.ts'
import { VectordError } from '../lib/errors.ts'
import { readSecretFile, SecretFileFault } from '../lib/secret-file.ts'
import { hasErrno } from './errno.ts'
import { syncFolder } from './local-files.ts'
import { SECRETS_FOLDER } from './object-key.ts'
import * as nodeFiles from 'node:fs/promises'

export type Credentials = NonNullable<Extract<BucketSpec, { backend: 's3' }>['credentials']>

/** How a configuration or a request tells where credentials are. */
export type CredentialsSource =
  /** What the AWS SDK finds in the process environment, its files, or the machine. */
  | { readonly kind: 'environment' }
  /** Static keys of a profile in the shared AWS credentials file. */
  | { readonly kind: 'profile'; readonly profile: string }
  /** JSON `{access_key_id, secret_access_key, session_token?}`, mode 0600. */
  | { readonly kind: 'file'; readonly path: string }
  | ({ readonly kind: 'inline' } & Credentials)

/** What a configuration may name: it holds no secrets itself. */
export type ConfiguredSource = Exclude<CredentialsSource, { kind: 'inline' }>

/** What is kept of a source: no secret in it. */
export type KeptSource =
  | ConfiguredSource
  /** A file that this server wrote, by its name in the secrets folder. */
  | { readonly kind: 'stored'; readonly file: string }

const STORED_NAME = /^[A-Za-z0-9_-]{1,128}\.[0-9a-f-]{36}\.json$/

/** Reads and writes the secrets below one storage root. */
export class CredentialsVault {
  readonly #folder: string

  constructor(storageRoot: string) {
    this.#folder = join(storageRoot, SECRETS_FOLDER)
  }

  /** Writes inline credentials to a file of mode 0600; every other source is kept as it is. */
  async keep(bucket: string, source: CredentialsSource): Promise<KeptSource> {
    if (source.kind !== 'inline') return source
    const file = `${bucket}.${randomUUID()}.json`
    const secret = {
      access_key_id: source.accessKeyId,
      secret_access_key: source.secretAccessKey,
      ...(source.sessionToken !== undefined && { session_token: source.sessionToken }),
    }
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 })
      await chmod(this.#folder, 0o700)
      await writeSecret(join(this.#folder, file), JSON.stringify(secret))
      await syncFolder(nodeFiles, this.#folder)
    } catch (error) {
      throw refusal('The credentials could not be written to the storage root', error)
    }
    return { kind: 'stored', file }
  }

  /** Removes the file of a stored source; of other sources there is nothing to remove. */
  async forget(source: KeptSource): Promise<void> {
    if (source.kind !== 'stored') return
    await unlink(this.#pathOf(source.file)).catch((error: unknown) => {
      if (!hasErrno(error, 'ENOENT')) throw refusal('The credentials could not be removed', error)
    })
  }

  /** The credentials, or null where the AWS SDK is to look for them. @throws `storage_error`. */
  async resolve(source: KeptSource): Promise<Credentials | null> {
    switch (source.kind) {
      case 'environment':
        return null
      case 'profile':
        return profileCredentials(source.profile)
      case 'file':
        return fileCredentials(source.path)
      case 'stored':
        return fileCredentials(this.#pathOf(source.file))
    }
  }

  #pathOf(file: string): string {
    if (!STORED_NAME.test(file)) throw refusal('The bucket document names an odd secrets file')
    return join(this.#folder, file)
  }
}

async function writeSecret(path: string, text: string): Promise<void> {
  const temporary = `${path}.tmp`
  const handle = await open(temporary, 'wx', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(temporary, path)
}

async function fileCredentials(path: string): Promise<Credentials> {
  const text = await readSecret(path)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // The parser's own message quotes the text.
    throw refusal(`The credentials file ${path} is not JSON`)
  }
  const fields = new Map(Object.entries(value !== null && typeof value === 'object' ? value : {}))
  return toCredentials(path, {
    accessKeyId: fields.get('access_key_id'),
    secretAccessKey: fields.get('secret_access_key'),
    sessionToken: fields.get('session_token'),
  })
}

async function profileCredentials(profile: string): Promise<Credentials> {
  const given = process.env['AWS_SHARED_CREDENTIALS_FILE']
  const path = given ?? join(homedir(), '.aws', 'credentials')
  const fields = new Map<string, string>()
  let section = ''
  for (const line of (await readSecret(path)).split(/\r?\n/)) {
    section = /^\s*\[([^\]]*)\]\s*$/.exec(line)?.[1]?.trim() ?? section
    const setting = /^\s*([a-z_]+)\s*=\s*(\S+)\s*$/.exec(line)
    if (section === profile && setting !== null) fields.set(setting[1] ?? '', setting[2] ?? '')
  }
  return toCredentials(`${path}, profile ${profile},`, {
    accessKeyId: fields.get('aws_access_key_id'),
    secretAccessKey: fields.get('aws_secret_access_key'),
    sessionToken: fields.get('aws_session_token'),
  })
}

async function readSecret(path: string): Promise<string> {
  try {
    return await readSecretFile(path, 'credentials file')
  } catch (error) {
    throw refusal(
      error instanceof SecretFileFault ? error.message : `${path} cannot be read`,
      error,
    )
  }
}

function toCredentials(
  where: string,
  found: { readonly [Name in keyof Required<Credentials>]: unknown },
): Credentials {
  const { accessKeyId, secretAccessKey, sessionToken } = found
  if (typeof accessKeyId !== 'string' || typeof secretAccessKey !== 'string') {
    throw refusal(`The credentials file ${where} holds no access key id and secret access key`)
  }
  if (typeof sessionToken !== 'string') return { accessKeyId, secretAccessKey }
  return { accessKeyId, secretAccessKey, sessionToken }
}

function refusal(message: string, cause?: unknown): VectordError {
  if (cause instanceof VectordError) return cause
  return new VectordError('storage_error', `${message}.`, { cause })
}
