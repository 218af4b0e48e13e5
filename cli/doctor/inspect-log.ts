/**
 * The log of one index, read from its first record to its last without a byte being changed.
 *
 * A torn tail of the newest segment is no damage: nobody was told that it is durable, and the service
 * cuts it off.
 */

import { open } from 'node:fs/promises'
import * as files from 'node:fs/promises'
import { join } from 'node:path'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { GroupObjects, lastLsnOf } from '../../src/log/group-objects.ts'
import { type ChainLink, logCorrupt } from '../../src/log/log-header.ts'
import { listSegments, readSegmentHeader, segmentName } from '../../src/log/segment-files.ts'
import { SegmentReader } from '../../src/log/segment-reader.ts'
import { type Finding, type LogSummary, problemOf } from './finding.ts'

export interface LogPlace {
  readonly index: string
  readonly incarnation: string
  readonly store: ObjectStore
  /** The bucket's folder; null in S3. */
  readonly folder: string | null
  /** What the newest whole checkpoint holds. */
  readonly checkpointLsn: number
}

export interface InspectedLog {
  readonly summary: LogSummary
  readonly findings: readonly Finding[]
}

/** A file or object of the log, as far as it could be read. */
interface Extent {
  readonly key: string
  readonly bytes: number
  /** Null where not even its header can be read. */
  readonly link: ChainLink | null
  readonly records: number
  readonly lastLsn: number
  readonly fault: unknown
  /** Bytes behind the last record that no append was answered for. */
  readonly isTorn: boolean
}

export async function inspectLog(place: LogPlace): Promise<InspectedLog> {
  const segments = await readSegments(place)
  const extents = segments.length > 0 ? segments : await readGroups(place)
  const findings = extents.flatMap((extent, i) => faultsOf(place, extents, extent, i))
  const records = extents.filter((extent) => extent.records > 0)
  return {
    summary: {
      objects: extents.length,
      bytes: extents.reduce((sum, { bytes }) => sum + bytes, 0),
      records: records.reduce((sum, extent) => sum + extent.records, 0),
      firstLsn: records[0]?.link?.firstLsn ?? 0,
      lastLsn: Math.max(0, ...extents.map(({ lastLsn }) => lastLsn)),
    },
    findings,
  }
}

async function readSegments({ index, folder }: LogPlace): Promise<Extent[]> {
  if (folder === null) return []
  const at = join(folder, '_indexes', index, 'log')
  const names = await listSegments(files, at).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  })
  const extents: Extent[] = []
  for (const [i, firstLsn] of names.entries()) {
    const file = segmentName(firstLsn)
    const isLast = i === names.length - 1
    extents.push(await readSegment(join(at, file), `_indexes/${index}/log/${file}`, isLast))
  }
  return extents
}

async function readSegment(path: string, key: string, isLast: boolean): Promise<Extent> {
  const handle = await open(path, 'r')
  const { size: bytes } = await handle.stat()
  let link: ChainLink | null = null
  let reader: SegmentReader | null = null
  let records = 0
  let fault: unknown = null
  try {
    link = await readSegmentHeader(handle, key)
    reader = new SegmentReader({ ...link, handle, file: key, bytes })
    for (let some = await reader.next(); some.length > 0; some = await reader.next()) {
      records += some.length
    }
    if (reader.torn && !isLast) fault = logCorrupt(key, reader.end, 'it ends within a record')
  } catch (error) {
    fault = error
  } finally {
    await handle.close()
  }
  const lastLsn = reader?.lastLsn ?? 0
  return { key, bytes, link, records, lastLsn, fault, isTorn: isLast && reader?.torn === true }
}

async function readGroups({ index, incarnation, store }: LogPlace): Promise<Extent[]> {
  const groups = new GroupObjects(store, `_indexes/${index}/log/`, incarnation)
  const extents: Extent[] = []
  for (const { sequence, bytes } of await groups.list()) {
    const key = groups.key(sequence)
    try {
      const { header, records } = await groups.read(sequence)
      const whole = { link: header, records: records.length, lastLsn: lastLsnOf(header) }
      extents.push({ key, bytes, ...whole, fault: null, isTorn: false })
    } catch (fault) {
      extents.push({ key, bytes, link: null, records: 0, lastLsn: 0, fault, isTorn: false })
    }
  }
  return extents
}

/** What is wrong with one extent, and where it and the next one do not fit together. */
function faultsOf(
  place: LogPlace,
  extents: readonly Extent[],
  extent: Extent,
  number: number,
): Finding[] {
  const next = extents[number + 1]?.link ?? null
  const base = { key: extent.key, index: place.index, loss: null, repair: null } as const
  const { fault, lastLsn } = extent
  if (fault !== null) {
    const before = lastBefore(extent, extents[number - 1])
    const loss = lossOf(Math.max(lastLsn, before) + 1, next, place)
    return [{ ...base, kind: 'damaged', problem: problemOf(fault), loss }]
  }
  if (isForeign(extent, place)) {
    return [{ ...base, kind: 'damaged', problem: 'it belongs to another index' }]
  }
  if (next !== null && next.previousLsn > lastLsn) {
    const problem = `after it the log goes on at lsn ${next.firstLsn}`
    return [{ ...base, kind: 'missing', problem, loss: lossOf(lastLsn + 1, next, place) }]
  }
  const problem = 'a write that was never answered is cut off at the next start'
  return extent.isTorn ? [{ ...base, kind: 'leftover', problem }] : []
}

function lastBefore({ link }: Extent, before: Extent | undefined): number {
  return link?.previousLsn ?? before?.lastLsn ?? 0
}

function isForeign({ link }: Extent, { incarnation }: LogPlace): boolean {
  return link !== null && link.incarnation !== incarnation
}

function lossOf(from: number, next: ChainLink | null, { checkpointLsn }: LogPlace): string | null {
  if (next !== null && next.previousLsn <= checkpointLsn) return null
  const to = next === null ? 'on' : `to ${next.previousLsn}`
  return `the writes from lsn ${from} ${to}, as far as no checkpoint holds them`
}
