/**
 * The pictures of docs/tuning.md, drawn from what a run of the tour found.
 *
 *     npm run proof:tour -- --record     a run writes docs/pictures/tour.json
 *     npm run docs:pictures              the pictures are drawn from it again
 *
 * A test fails where they are not what is drawn here.
 */

import { readFileSync, writeFileSync } from 'node:fs'
import { INK, SvgPlot, type Scale } from '../support/svg-plot.ts'
import {
  readRecord,
  type RecordedPoint,
  type RecordedTrial,
  type TourRecord,
} from '../support/tour-record.ts'
import { paretoRows, type Cloud } from '../../web/src/charts/pareto.ts'

const FOLDER = 'docs/pictures'
const BEFORE = '#b4530a'
const AFTER = '#0b7a75'
const DOT = '#7d8fc9'
const ACCENT = '#2f4fc4'
/** Recall that the pictures begin with: what lies below is far from any goal. */
const RECALL_MIN = 0.8

const WORDS_FILE = 'docs/tuning.md'
/** What the words say that the record gives stands between these. */
const MARKED = /<!-- (numbers|note) -->[^]*?<!-- end -->/g

/** The document with the words that the record gives. */
export function writeWords(text: string, record: TourRecord): string {
  return text.replaceAll(MARKED, (_, name: string) => {
    const words = name === 'note' ? noteWords(record) : numberWords(record)
    return `<!-- ${name} -->\n\n${words}\n\n<!-- end -->`
  })
}

function noteWords({ promoted: { note } }: TourRecord): string {
  return `> ${note}`
}

function numberWords(record: TourRecord): string {
  const { before, machine, data, trials, recorded_at: at } = record
  const after = promoted(record)
  const saved = Math.round(100 * (1 - after.cpu_us / before.cpu_us))
  const side = (p: RecordedPoint): string =>
    `${Math.round(p.cpu_us)} µs at ef ${p.ef} with a recall of ${p.recall.toFixed(3)}`
  return [
    `Here (${data}; ${machine}, with other work on it; ${at}) a search took ${side(before)},`,
    `and takes ${side(after)}: ${saved} % less CPU time, after ${trials.length} trials.`,
  ].join('\n')
}

/** The text of each picture by the name of its file. */
export function drawPictures(record: TourRecord): ReadonlyMap<string, string> {
  return new Map([
    ['pareto.svg', drawPareto(record)],
    ['recall-ef.svg', drawRecallByEf(record)],
    ['tried.svg', drawTried(record)],
  ])
}

/** Every measured point of every trial, and those that none beats. */
function drawPareto(record: TourRecord): string {
  const { trials, goal } = record
  const points = trials.flatMap(({ curve }) => curve).filter((p) => p.recall >= RECALL_MIN)
  const cloud: Cloud = {
    trial: points.map(() => 0),
    ef: points.map(({ ef }) => ef),
    recall: points.map(({ recall }) => recall),
    cpu_us: points.map(({ cpu_us }) => cpu_us),
  }
  const front = paretoRows(cloud).flatMap((row) => points[row] ?? [])
  const [before, after] = [record.before, promoted(record)]
  const costMax = Math.max(1.25 * before.cpu_us, ...front.map(({ cpu_us }) => cpu_us))
  const x = linear(costMax, 'CPU time of a search, µs')
  const plot = new SvgPlot({ title: record.data, x, y: recallScale() })
  goalLine(plot, goal, x)
  for (const { cpu_us, recall } of points.filter((p) => p.cpu_us <= x.max)) {
    plot.dot([cpu_us, recall], DOT, { radius: 2 })
  }
  plot.path(
    front.map(({ cpu_us, recall }) => [cpu_us, recall]),
    ACCENT,
  )
  plot.dot([before.cpu_us, before.recall], BEFORE, { radius: 7, hollow: true })
  plot.label([before.cpu_us, before.recall], `before: ef ${before.ef}`, {
    dy: 22,
    anchor: 'middle',
  })
  plot.dot([after.cpu_us, after.recall], AFTER, { radius: 7 })
  plot.label([after.cpu_us, after.recall], `promoted: ef ${after.ef}`, {
    dx: -10,
    dy: -12,
    anchor: 'end',
  })
  return plot.toString()
}

function drawRecallByEf(record: TourRecord): string {
  const sides = [
    [trialOf(record, baseline(record).trial_id), BEFORE, 'before'],
    [trialOf(record, record.promoted.trial_id), AFTER, 'promoted'],
  ] as const
  const efs = sides.flatMap(([{ curve }]) => curve.map(({ ef }) => ef))
  const [min, max] = [Math.min(...efs), Math.max(...efs)]
  const ticks = [10, 20, 50, 100, 200, 500].filter((ef) => ef >= min && ef <= max)
  const x = { min, max, ticks, label: 'ef', isLog: true }
  const plot = new SvgPlot({ title: record.data, x, y: recallScale() })
  goalLine(plot, record.goal, x)
  const places = (curve: readonly RecordedPoint[], of: 'recall' | 'recall_lcb') =>
    curve.filter((p) => p.recall_lcb >= RECALL_MIN).map((p) => [p.ef, p[of]] as const)
  for (const [{ curve, config }, ink, name] of sides) {
    plot.path(places(curve, 'recall'), ink)
    plot.path(places(curve, 'recall_lcb'), ink, { dashed: true, width: 1.5 })
    const row = name === 'before' ? 0 : 1
    const text = `${name}: m ${config.m}, ef_construction ${config.ef_construction}`
    plot.label([max, RECALL_MIN], text, { anchor: 'end', ink, dx: -8, dy: -50 + 18 * row })
  }
  plot.label([max, RECALL_MIN], 'dashed: the lower bound', { anchor: 'end', dx: -8, dy: -12 })
  return plot.toString()
}

/** What each graph that was tried costs at the goal, in the order of trials. */
function drawTried(record: TourRecord): string {
  const { trials, goal } = record
  const costs = trials.map(({ at_goal }) => at_goal?.cpu_us ?? 0)
  const before = record.before.cpu_us
  const y = linear(1.15 * Math.max(before, ...costs), `CPU µs at recall ${goal}`)
  const x = {
    ...{ min: 0.4, max: trials.length + 0.6, label: 'trial, in the order of trying' },
    ticks: trials.map((_, i) => i + 1),
  }
  const plot = new SvgPlot({ title: record.data, x, y })
  plot.path(
    [
      [x.min, before],
      [x.max, before],
    ],
    BEFORE,
    { dashed: true },
  )
  plot.label([x.max, before], 'a search before', { anchor: 'end', ink: BEFORE, dx: -6, dy: -6 })
  for (const [i, { trial_id, config, at_goal }] of trials.entries()) {
    const cost = at_goal?.cpu_us ?? 0
    plot.bar(i + 1, cost, trial_id === record.promoted.trial_id ? AFTER : DOT)
    const [m, efc] = [`m ${config.m}`, `efc ${config.ef_construction}`]
    plot.label([i + 1, cost], m, { anchor: 'middle', dy: -20 })
    plot.label([i + 1, cost], efc, { anchor: 'middle', dy: -6 })
  }
  return plot.toString()
}

function goalLine(plot: SvgPlot, goal: number, x: Scale): void {
  plot.path(
    [
      [x.min, goal],
      [x.max, goal],
    ],
    INK.edge,
    { dashed: true, width: 1 },
  )
  plot.label([x.max, goal], `goal ${goal}`, { anchor: 'end', ink: INK.quiet, dx: -6, dy: 14 })
}

function recallScale(): Scale {
  return { min: RECALL_MIN, max: 1, ticks: [0.8, 0.85, 0.9, 0.95, 1], label: 'recall@10' }
}

/** From zero to a bit above `max`, with round ticks. */
function linear(max: number, label: string): Scale {
  const step = [5, 10, 20, 25, 50, 100, 200, 500, 1000].find((size) => max / size <= 8) ?? max / 8
  const count = Math.ceil(max / step)
  return {
    min: 0,
    max: count * step,
    ticks: Array.from({ length: count + 1 }, (_, i) => i * step),
    label,
  }
}

/** The trial of the graph that the index was created with: the first one that is tried. */
function baseline({ trials }: TourRecord): RecordedTrial {
  const [first] = trials
  if (first === undefined) throw new Error('The record has no trials.')
  return first
}

function trialOf({ trials }: TourRecord, id: string): RecordedTrial {
  const found = trials.find(({ trial_id }) => trial_id === id)
  if (found === undefined) throw new Error(`The record has no trial ${id}.`)
  return found
}

function promoted(record: TourRecord): RecordedPoint {
  const { trial_id, ef } = record.promoted
  return nearest(trialOf(record, trial_id).curve, ef)
}

function nearest(curve: readonly RecordedPoint[], ef: number): RecordedPoint {
  const [best] = curve.toSorted((a, b) => Math.abs(a.ef - ef) - Math.abs(b.ef - ef))
  if (best === undefined) throw new Error('A trial has no curve.')
  return best
}

if (import.meta.main) {
  const record = readRecord()
  for (const [name, text] of drawPictures(record)) writeFileSync(`${FOLDER}/${name}`, text)
  writeFileSync(WORDS_FILE, writeWords(readFileSync(WORDS_FILE, 'utf8'), record))
}
