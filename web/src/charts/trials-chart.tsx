/**
 * The trials of an index: recall against cost, a dot for each measured ef of each trial.
 *
 * Dots are painted in one path: tens of thousands take a few milliseconds. The line joins those that
 * none beats. What is current, promoted and proposed differ in form as well as in colour.
 */

import type { JSX } from 'preact'
import { useMemo, useRef } from 'preact/hooks'
import type UPlot from 'uplot'
import type { TrialPoints } from '../api/tuning-types.ts'
import { byCost, paretoRows } from './pareto.ts'
import { drawDots, drawLine, drawMark, type MarkForm } from './draw.ts'
import { axisOf, isLogarithmic, Plot, scaleFor, type Palette } from './plot.tsx'

/** Recall below the goal that is still shown. */
const BELOW_GOAL = 0.25
/** Pixels around the pointer in which a dot is found. */
const REACH = 18

export interface Mark {
  readonly form: MarkForm
  readonly name: string
  /** Row of the points. */
  readonly row: number
}

interface TrialsChartProps {
  readonly points: TrialPoints
  readonly goal: number
  readonly marks: readonly Mark[]
  /** Row of the trial whose curve is drawn; null: none. */
  readonly chosen: number | null
  readonly onHover: (row: number | null) => void
  readonly onChoose: (row: number) => void
}

export function TrialsChart(props: TrialsChartProps): JSX.Element {
  const { points, goal, marks, chosen } = props
  const callbacks = useRef(props)
  callbacks.current = props
  const order = useMemo(() => byCost(points.points), [points])
  const front = useMemo(() => paretoRows(points.points, order), [points, order])
  const data = useMemo<UPlot.AlignedData>(() => {
    const { cpu_us: cost, recall } = points.points
    return [order.map((row) => cost[row] ?? 0), order.map((row) => recall[row] ?? 0)]
  }, [points, order])
  const marksKey = JSON.stringify(marks)
  const options = useMemo(() => {
    const cloud = { points, goal, marks, chosen, front }
    return (palette: Palette) => optionsOf(cloud, palette, callbacks)
  }, [points, goal, marksKey, chosen, front])
  const label =
    `Recall against CPU time of a query: ${points.measured} trials, ` +
    `${front.length} points that none beats. The table below holds the same.`
  return <Plot label={label} data={data} options={options} />
}

interface CloudState {
  readonly points: TrialPoints
  readonly goal: number
  readonly marks: readonly Mark[]
  readonly chosen: number | null
  readonly front: readonly number[]
}

interface Callbacks {
  readonly current: Pick<TrialsChartProps, 'onHover' | 'onChoose'>
}

function optionsOf(
  state: CloudState,
  palette: Palette,
  callbacks: Callbacks,
): Omit<UPlot.Options, 'width' | 'height'> {
  const { points: cloud } = state.points
  const least = cloud.recall.reduce((low, value) => Math.min(low, value), 1)
  const floor = Math.max(least - 0.01, state.goal - BELOW_GOAL, 0)
  let hovered: number | null = null
  const near = (chart: UPlot): number | null => nearestRow(chart, cloud)
  return {
    scales: { x: scaleFor(cloud.cpu_us), y: { range: () => [floor, 1.004] } },
    axes: [
      axisOf(palette, 'CPU time of a query, µs', isLogarithmic(cloud.cpu_us)),
      axisOf(palette, 'recall'),
    ],
    legend: { show: false },
    cursor: { points: { show: false }, drag: { x: false, y: false } },
    series: [{}, { paths: () => null, points: { show: false } }],
    hooks: {
      draw: [(chart) => paint(chart, state, palette)],
      setCursor: [
        (chart) => {
          const row = near(chart)
          if (row === hovered) return
          hovered = row
          callbacks.current.onHover(row)
        },
      ],
      ready: [
        (chart) => {
          chart.over.addEventListener('click', () => {
            const row = near(chart)
            if (row !== null) callbacks.current.onChoose(row)
          })
        },
      ],
    },
  }
}

function paint(chart: UPlot, state: CloudState, palette: Palette): void {
  const { points: cloud } = state.points
  const place = (row: number): readonly [number, number] => [
    chart.valToPos(cloud.cpu_us[row] ?? 0, 'x', true),
    chart.valToPos(cloud.recall[row] ?? 0, 'y', true),
  ]
  const { ctx } = chart
  ctx.save()
  ctx.beginPath()
  ctx.rect(chart.bbox.left, chart.bbox.top, chart.bbox.width, chart.bbox.height)
  ctx.clip()
  const goalY = chart.valToPos(state.goal, 'y', true)
  const right = chart.bbox.left + chart.bbox.width
  const goal = [[chart.bbox.left, goalY] as const, [right, goalY] as const]
  drawLine(ctx, goal, { colour: palette.quiet, width: 1.5, dash: [6, 5] })
  drawDots(
    ctx,
    Array.from(cloud.trial, (_, row) => place(row)),
    palette.dot,
  )
  drawLine(ctx, state.front.map(place), { colour: palette.accent, width: 2.5 })
  if (state.chosen !== null) {
    const own = [...cloud.trial.keys()].filter((row) => cloud.trial[row] === state.chosen)
    drawLine(ctx, own.map(place), { colour: palette.text, width: 2 })
    for (const row of own) drawMark(ctx, 'ring', place(row), palette.text)
  }
  for (const { form, row } of state.marks)
    drawMark(ctx, form, place(row), markColour(form, palette))
  ctx.restore()
}

function markColour(form: MarkForm, palette: Palette): string {
  return {
    disc: palette.second,
    diamond: palette.third,
    triangle: palette.fourth,
    ring: palette.text,
  }[form]
}

/** The row whose dot is nearest to the pointer; null where none is near. */
function nearestRow(chart: UPlot, cloud: TrialPoints['points']): number | null {
  const { left = -1, top = -1 } = chart.cursor
  if (left < 0) return null
  let best: number | null = null
  let bestSquare = REACH ** 2
  for (const [row, cost] of cloud.cpu_us.entries()) {
    const dx = chart.valToPos(cost, 'x') - left
    if (Math.abs(dx) > REACH) continue
    const square = dx ** 2 + (chart.valToPos(cloud.recall[row] ?? 0, 'y') - top) ** 2
    if (square >= bestSquare) continue
    best = row
    bestSquare = square
  }
  return best
}
