/**
 * `vectord buckets`: which buckets the service knows, and how they do.
 */

import { resolve } from 'node:path'
import { Command, Option } from 'commander'
import type { NewBucket } from '../client/types.ts'
import { EXIT, UsageError } from './exit-codes.ts'
import { clientOf, remote, type RemoteOptions } from './remote.ts'
import { print, printJson, table } from './terminal.ts'

interface AddOptions extends RemoteOptions {
  readonly root?: string
  readonly bucket?: string
  readonly prefix?: string
  readonly region?: string
  readonly endpoint?: string
  readonly profile?: string
  readonly credentialsFile?: string
}

export function bucketsCommand(): Command {
  const command = new Command('buckets').description('list, add, remove and check buckets')
  command.addCommand(remote(new Command('list').description('list the buckets')).action(list))
  command.addCommand(addCommand())
  command.addCommand(
    remote(new Command('remove').description('unregister a bucket; no object is deleted'))
      .argument('<name>')
      .action(remove),
  )
  command.addCommand(
    remote(
      new Command('health').description('ask every bucket; 3 where one does not answer'),
    ).action(health),
  )
  return command.addHelpText(
    'after',
    `
Examples:
  vectord buckets list
  vectord buckets add archive --root /mnt/archive
  vectord buckets add lake --bucket my-lake --prefix vectors/ --region eu-west-1
  vectord buckets health --json`,
  )
}

function addCommand(): Command {
  return remote(new Command('add').description('probe and register a bucket'))
    .argument('<name>')
    .option('--root <folder>', 'a local one: a folder of the machine that the service runs on')
    .option('--bucket <name>', 'one in S3')
    .option('--prefix <prefix>', 'keys in it begin with this; it ends with a slash')
    .option('--region <region>', 'of the S3 bucket')
    .option('--endpoint <url>', 'of a server other than AWS')
    .option('--profile <name>', 'credentials: a profile of the AWS files of the service')
    .addOption(
      new Option('--credentials-file <path>', 'credentials: a JSON file of the service, mode 0600'),
    )
    .action(add)
}

async function list(options: RemoteOptions): Promise<void> {
  const buckets = await clientOf(options).buckets.list()
  if (options.json === true) {
    printJson({ buckets })
    return
  }
  const rows = buckets.map(({ name, role, health: word, uri, conditional_writes: writes }) => {
    return [name, role, word, uri, writes]
  })
  print(table(['name', 'role', 'health', 'uri', 'conditional writes'], rows))
}

async function add(name: string, options: AddOptions): Promise<void> {
  const added = await clientOf(options).buckets.add(locationOf(name, options))
  if (options.json === true) printJson(added)
  else print(`The bucket "${name}" is registered: ${added.uri}.`)
}

function locationOf(name: string, options: AddOptions): NewBucket {
  const { root, bucket, prefix, region, endpoint, profile, credentialsFile: file } = options
  if ((root === undefined) === (bucket === undefined)) {
    throw new UsageError('Name the place of the bucket: --root or --bucket, one of them.')
  }
  if (root !== undefined) return { name, backend: 'local', root: resolve(root) }
  const credentials = {
    ...(profile !== undefined && { profile }),
    ...(file !== undefined && { file }),
  }
  return {
    ...{ name, backend: 's3' },
    ...(bucket !== undefined && { bucket }),
    ...(prefix !== undefined && { prefix }),
    ...(region !== undefined && { region }),
    ...(endpoint !== undefined && { endpoint }),
    ...(Object.keys(credentials).length > 0 && { credentials }),
  }
}

async function remove(name: string, options: RemoteOptions): Promise<void> {
  await clientOf(options).buckets.remove(name)
  if (options.json === true) printJson({ removed: name })
  else print(`The bucket "${name}" is not registered any more; its objects are untouched.`)
}

async function health(options: RemoteOptions): Promise<void> {
  const buckets = await clientOf(options).buckets.health()
  if (options.json === true) printJson({ buckets })
  else {
    const rows = buckets.map(({ name, reachable, latency_ms: ms, error }) => {
      return [name, reachable ? 'yes' : 'no', ms, error]
    })
    print(table(['name', 'reachable', 'ms', 'error'], rows))
  }
  if (buckets.some(({ reachable }) => !reachable)) process.exitCode = EXIT.unreachable
}
