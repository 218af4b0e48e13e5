/**
 * Reads the file that hnswlib wrote and follows every link of it.
 *
 * hnswlib reports success on a full disk, loads flipped bits without a word and crashes the process
 * at the first search over a wrecked link. So a file is followed to its exact end after each save
 * and before each load.
 *
 *     header (96 bytes, little-endian)
 *     elements × [count u16, removed u8, 0 u8 | 2M links u32 | dimension × f32 | label u64]
 *     elements × [bytes u32 | levels × (count u16, 0 u16 | M links u32)]
 */

import { open, type FileHandle } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import { Bitmap } from '../bitmap.ts'

const HEADER_BYTES = 96
const BLOCK_BYTES = 2 ** 21
const REMOVED_MARK = 0x1_0000
const LABEL_MAX = 0xffff_ffff

export class HnswFileError extends Error {
  override readonly name = 'HnswFileError'
}

export interface HnswFileInfo {
  readonly elements: number
  readonly m: number
  readonly efConstruction: number
  readonly dimension: number
  /** True where the labels are 0, 1, 2 and so on. */
  readonly dense: boolean
  readonly lastLabel: number
  /** Positions (labels, where dense) that are marked removed. */
  readonly removed: Bitmap
  readonly removedCount: number
  /** Positions that no path of links leads to from the entry point: a walk may never find them. */
  readonly unlinked: readonly number[]
}

/**
 * Checks the file at `path` to its last byte.
 *
 * @throws {HnswFileError} where it is not a whole graph of vectors of `dimension` numbers.
 */
export async function inspectHnswFile(path: string, dimension: number): Promise<HnswFileInfo> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    const header = await readHeader(file, size, dimension)
    const walk = newWalk(header)
    await walkBaseLayer(file, header, walk)
    await walkUpperLayers(file, size, header, walk)
    return {
      elements: header.elements,
      m: header.m,
      efConstruction: header.efConstruction,
      dimension,
      dense: walk.lastLabel === header.elements - 1,
      lastLabel: walk.lastLabel,
      removed: walk.removed,
      removedCount: walk.removedCount,
      unlinked: await unreachedOf(header, walk),
    }
  } finally {
    await file.close()
  }
}

interface Header {
  readonly elements: number
  readonly m: number
  readonly efConstruction: number
  readonly elementBytes: number
  readonly maxLevel: number
  readonly entryPoint: number
}

/** What following the links has found so far. */
interface Walk {
  /** Links of the base layer, element after element. */
  readonly links: Uint32Array
  /** Where those of each element begin; the last entry is where they end. */
  readonly starts: Float64Array
  linkCount: number
  readonly removed: Bitmap
  removedCount: number
  lastLabel: number
  /** Highest layer of each element. */
  readonly levels: Uint8Array
}

async function readHeader(file: FileHandle, size: number, dimension: number): Promise<Header> {
  check(size >= HEADER_BYTES, 'it is shorter than a header')
  check(size % 4 === 0, 'it is cut off')
  const view = new DataView((await readExactly(file, 0, HEADER_BYTES)).buffer)
  const u64 = (at: number) => Number(view.getBigUint64(at, true))
  const elements = u64(16)
  const m = u64(72)
  const elementBytes = u64(24)
  check(m >= 1 && m <= 10_000 && u64(56) === m && u64(64) === 2 * m, 'its M is not consistent')
  check(u64(0) === 0 && u64(40) === 8 * m + 4, 'its offsets are not consistent')
  check(u64(32) === u64(40) + 4 * dimension, 'it holds vectors of another dimension')
  check(elementBytes === u64(32) + 8, 'its element size is not consistent')
  check(elements >= 1 && elements <= u64(8), 'its element count is not consistent')
  check(size >= HEADER_BYTES + elements * (elementBytes + 4), 'it is cut off')
  const header = {
    elements,
    m,
    efConstruction: u64(88),
    elementBytes,
    maxLevel: view.getInt32(48, true),
    entryPoint: view.getUint32(52, true),
  }
  check(header.entryPoint < elements, 'its entry point does not exist')
  check(header.maxLevel >= 0 && header.maxLevel < 256, 'its highest layer is out of range')
  return header
}

function newWalk(header: Header): Walk {
  return {
    // Untouched pages cost nothing: few elements have all the links that they may have.
    links: new Uint32Array(header.elements * 2 * header.m),
    starts: new Float64Array(header.elements + 1),
    linkCount: 0,
    removed: new Bitmap(header.elements),
    removedCount: 0,
    lastLabel: -1,
    levels: new Uint8Array(header.elements),
  }
}

async function walkBaseLayer(file: FileHandle, header: Header, walk: Walk): Promise<void> {
  const perBlock = Math.max(1, Math.floor(BLOCK_BYTES / header.elementBytes))
  const words = header.elementBytes / 4
  for (let first = 0; first < header.elements; first += perBlock) {
    const count = Math.min(perBlock, header.elements - first)
    const at = HEADER_BYTES + first * header.elementBytes
    const block = new Uint32Array((await readExactly(file, at, count * header.elementBytes)).buffer)
    for (let i = 0; i < count; i += 1) walkElement(block, i * words, first + i, header, walk)
  }
}

// eslint-disable-next-line max-params -- the inner loop of a walk over gigabytes allocates nothing.
function walkElement(
  block: Uint32Array,
  base: number,
  element: number,
  header: Header,
  walk: Walk,
): void {
  const head = block[base] as number
  const count = head & 0xffff
  check((head & ~(0xffff | REMOVED_MARK)) === 0, 'a list of links has an odd head')
  check(count <= 2 * header.m, 'a list of links is too long')
  for (let i = 1; i <= count; i += 1) {
    const link = block[base + i] as number
    check(link < header.elements && link !== element, 'a link leads nowhere')
    walk.links[walk.linkCount] = link
    walk.linkCount += 1
  }
  walk.starts[element + 1] = walk.linkCount
  if ((head & REMOVED_MARK) !== 0) {
    walk.removed.add(element)
    walk.removedCount += 1
  }
  const labelAt = base + header.elementBytes / 4 - 2
  const label = block[labelAt] as number
  check(block[labelAt + 1] === 0 && label > walk.lastLabel, 'its labels do not grow')
  check(label <= LABEL_MAX, 'a label is out of range')
  walk.lastLabel = label
}

async function walkUpperLayers(
  file: FileHandle,
  size: number,
  header: Header,
  walk: Walk,
): Promise<void> {
  const start = HEADER_BYTES + header.elements * header.elementBytes
  const lists = new Uint32Array((await readExactly(file, start, size - start)).buffer)
  const layerWords = header.m + 1
  let at = 0
  for (let element = 0; element < header.elements; element += 1) {
    check(at < lists.length, 'its upper layers are cut off')
    const words = (lists[at] as number) / 4
    check(Number.isInteger(words) && words % layerWords === 0, 'an upper list has an odd size')
    check(words / layerWords <= header.maxLevel, 'an element lies above the highest layer')
    walk.levels[element] = words / layerWords
    at += 1 + words
  }
  check(at === lists.length, 'it does not end where its lists end')
  check(walk.levels[header.entryPoint] === header.maxLevel, 'its entry point is not on top')
  checkUpperLinks(lists, header, walk)
}

/** A link of a layer must lead to an element of that layer: hnswlib reads its list unchecked. */
function checkUpperLinks(lists: Uint32Array, header: Header, walk: Walk): void {
  let at = 0
  for (let element = 0; element < header.elements; element += 1) {
    at += 1
    const levels = walk.levels[element] as number
    for (let layer = 1; layer <= levels; layer += 1, at += header.m + 1) {
      const count = lists[at] as number
      check(count <= header.m, 'an upper list of links is too long')
      for (let i = 1; i <= count; i += 1) {
        const link = lists[at + i] as number
        check(link < header.elements && link !== element, 'an upper link leads nowhere')
        check((walk.levels[link] as number) >= layer, 'an upper link leads below its layer')
      }
    }
  }
}

/** Elements between two turns of the event loop: a few milliseconds of random reads. */
const REACH_STEP = 20_000

/**
 * Follows the links of the base layer from the entry point. An element that has links to it but only
 * from others that are cut off as well is as lost as one without.
 */
async function unreachedOf(header: Header, walk: Walk): Promise<number[]> {
  const reached = new Bitmap(header.elements)
  const queue = new Uint32Array(header.elements)
  queue[0] = header.entryPoint
  reached.add(header.entryPoint)
  let end = 1
  for (let at = 0; at < end; at += 1) {
    const element = queue[at] as number
    const last = walk.starts[element + 1] as number
    for (let i = walk.starts[element] as number; i < last; i += 1) {
      const link = walk.links[i] as number
      if (reached.has(link)) continue
      reached.add(link)
      queue[end] = link
      end += 1
    }
    if (at % REACH_STEP === REACH_STEP - 1) await setImmediate()
  }
  const unreached: number[] = []
  for (let element = 0; element < header.elements; element += 1) {
    if (!reached.has(element)) unreached.push(element)
  }
  return unreached
}

async function readExactly(file: FileHandle, at: number, bytes: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(bytes)
  let done = 0
  while (done < bytes) {
    const { bytesRead } = await file.read(buffer, done, bytes - done, at + done)
    check(bytesRead > 0, 'it ended while it was read')
    done += bytesRead
  }
  return buffer
}

function check(holds: boolean, problem: string): asserts holds {
  if (!holds) throw new HnswFileError(`The graph file is damaged: ${problem}.`)
}
