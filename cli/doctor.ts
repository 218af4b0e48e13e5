/**
 * `vectord doctor`: looks through a bucket while no server writes it, and takes away what is damaged
 * and can be made anew.
 */

import { Command } from 'commander'
import { EXIT, UsageError } from './exit-codes.ts'
import { isDamage, type BucketDiagnosis, type Finding } from './doctor/finding.ts'
import type { Target } from './doctor/target.ts'
import { startProgress } from './progress.ts'
import { bytesText, print, printable, printJson, table } from './terminal.ts'

interface DoctorOptions {
  readonly repair?: boolean
  readonly index?: readonly string[]
  readonly region: string
  readonly endpoint?: string
  readonly json?: boolean
  readonly quiet?: boolean
}

/** Diagnosed, with what was done about it. */
interface Treated {
  readonly diagnosis: BucketDiagnosis
  readonly repaired: number
}

export function doctorCommand(): Command {
  return new Command('doctor')
    .description('check a data folder or a bucket offline, and repair what is derived')
    .argument('<place>', 'a storage root, a bucket folder, or s3://bucket/prefix')
    .option('--repair', 'carry out what is listed; without it nothing is changed')
    .option('--index <name...>', 'only these indexes')
    .option('--region <region>', 'of an S3 bucket', 'us-east-1')
    .option('--endpoint <url>', 'of an S3 server other than AWS')
    .option('--json', 'print the result as JSON')
    .option('--quiet', 'show no progress')
    .addHelpText(
      'after',
      `
It refuses where a server holds the folder. Logs, parts and documents are checked and never touched;
graphs, copies and half-written files that are damaged are removed, and the service makes them anew.
Credentials of S3 come from the environment, as the AWS tools read them.

Examples:
  vectord doctor ./data
  vectord doctor ./data --repair
  vectord doctor s3://my-lake/vectors/ --region eu-west-1 --json`,
    )
    .action(doctor)
}

async function doctor(place: string, options: DoctorOptions): Promise<void> {
  // Loaded when they are needed: the S3 client alone takes as long as most commands.
  const { openTarget } = await import('./doctor/target.ts')
  const { inspectBucket } = await import('./doctor/inspect-bucket.ts')
  const { repairAll } = await import('./doctor/repair.ts')
  const { region, endpoint = null, index: indexes = null } = options
  const progress = startProgress({ unit: 'objects', quiet: options.quiet === true })
  const target = await openTarget(place, { region, endpoint })
  const treated: Treated[] = []
  try {
    await checkNames(target, indexes ?? [])
    for (const bucket of target.buckets) {
      const diagnosis = await inspectBucket(bucket, {
        indexes,
        onStep: (step) => progress.update(step),
      })
      progress.stop()
      const repaired = options.repair === true ? await repairAll(bucket, diagnosis.findings) : 0
      treated.push({ diagnosis, repaired })
    }
  } finally {
    progress.stop()
    await target.close()
  }
  if (options.json === true) printJson({ buckets: treated.map(treatedJson) })
  else for (const one of treated) show(one, options.repair === true)
  const damage = treated.flatMap(({ diagnosis }) => diagnosis.findings).filter(isDamage)
  const isLeft = damage.some(({ repair }) => repair === null || options.repair !== true)
  if (isLeft) process.exitCode = EXIT.failed
}

/** @throws {UsageError} for an index that is in none of the buckets. */
async function checkNames({ buckets }: Target, indexes: readonly string[]): Promise<void> {
  if (indexes.length === 0) return
  const { indexNames } = await import('../src/indexes/index-objects.ts')
  const known = await Promise.all(buckets.map(({ store }) => indexNames(store)))
  const unknown = indexes.find((name) => !known.flat().includes(name))
  if (unknown !== undefined) throw new UsageError(`There is no index "${unknown}" here.`)
}

function show({ diagnosis, repaired }: Treated, isRepair: boolean): void {
  const { uri, objects, bytes, indexes, findings } = diagnosis
  print(`${printable(uri)}: ${objects} objects, ${bytesText(bytes)}, ${indexes.length} indexes`)
  const rows = indexes.map(({ name, state, dimension, checkpoints, log, ...index }) => {
    const newest = checkpoints.find(({ whole }) => whole)?.lsn
    const lsns = log.records === 0 ? null : `${log.firstLsn} to ${log.lastLsn}`
    const size = bytesText(index.bytes)
    return [name, state, dimension, newest, checkpoints.length, lsns, bytesText(log.bytes), size]
  })
  const headings = ['index', 'state', 'dim', 'checkpoint', 'of', 'log', 'log size', 'size']
  if (rows.length > 0) print(table(headings, rows))
  for (const { name } of indexes.filter(({ backend }) => backend === 'lance')) {
    print(`The table of "${name}" is Lance's own: only that it has a version was looked at.`)
  }
  for (const finding of findings) print(findingText(finding, isRepair))
  if (findings.length === 0) print('Nothing is damaged.')
  else if (isRepair) print(`${repaired} of ${findings.length} were repaired.`)
  else if (findings.some(({ repair }) => repair !== null)) {
    print('Nothing was changed: --repair carries out what is listed.')
  }
}

function findingText({ kind, key, problem, loss, repair }: Finding, isRepair: boolean): string {
  const what = `${kind}: ${printable(key)}: ${printable(problem)}`
  const lost = loss === null ? 'nothing is lost' : `lost: ${printable(loss)}`
  if (repair === null) return `${what}\n    ${lost}`
  const verbs = { delete: 'remove it', copy: 'write it again', unlink: 'remove it' }
  return `${what}\n    ${lost}; ${isRepair ? 'done' : 'to do'}: ${verbs[repair.kind]}`
}

function treatedJson({ diagnosis, repaired }: Treated): object {
  const { findings, indexes, ...sums } = diagnosis
  return {
    ...sums,
    indexes: indexes.map(({ checkpoints, log, ...index }) => ({
      ...{ ...index, checkpoints },
      log: {
        ...{ objects: log.objects, bytes: log.bytes, records: log.records },
        ...{ first_lsn: log.firstLsn, last_lsn: log.lastLsn },
      },
    })),
    findings: findings.map(({ repair, ...finding }) => ({
      ...finding,
      repair: repair?.kind ?? null,
    })),
    repaired,
  }
}
