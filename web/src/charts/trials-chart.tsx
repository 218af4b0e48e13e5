/**
 * The trials of an index: recall against cost, a dot for each measured ef of each trial.
 *
 * The line joins those that none beats. What is current, promoted and proposed differ in form as well
 * as in colour. Choosing a trial paints again over the kept picture of the dots.
 */

import type { JSX } from 'preact'
import { useEffect, useMemo, useRef } from 'preact/hooks'
import type UPlot from 'uplot'
import type { TrialPoints } from '../api/tuning-types.ts'
import { Dots } from './dots.ts'
import { drawLine, drawMark, type MarkForm } from './draw.ts'
import { paretoRows } from './pareto.ts'
import { axisOf, isLogarithmic, Plot, scaleFor, type Palette } from './plot.tsx'

/** Recall below the goal that is still shown. */
const BELOW_GOAL = 0.25

/** uPlot scales and paints the axes; everything else is painted here. */
const NO_DATA: UPlot.AlignedData = [
  [1, 2],
  [null, null],
]

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
  const latest = useRef(props)
  latest.current = props
  const chart = useRef<UPlot | null>(null)
  const front = useMemo(() => paretoRows(points.points), [points])
  const options = useMemo(() => {
    const dots = new Dots(points.points)
    return (palette: Palette) => optionsOf({ dots, front, latest, chart }, palette)
  }, [points, goal, front])
  const marksKey = JSON.stringify(marks)
  useEffect(() => chart.current?.redraw(false, false), [chosen, marksKey])
  const label =
    `Recall against CPU time of a query: ${points.measured} trials, ` +
    `${front.length} points that none beats. The table below holds the same.`
  return <Plot label={label} data={NO_DATA} options={options} />
}

interface Cloud {
  readonly dots: Dots
  /** Rows that none beats. */
  readonly front: readonly number[]
  /** What is to be shown now. */
  readonly latest: { readonly current: TrialsChartProps }
  readonly chart: { current: UPlot | null }
}

function optionsOf(cloud: Cloud, palette: Palette): Omit<UPlot.Options, 'width' | 'height'> {
  const { dots, latest } = cloud
  const { points, goal } = latest.current
  const { cpu_us: cost, recall } = points.points
  let least = 1
  for (const value of recall) if (value < least) least = value
  const floor = Math.max(least - 0.01, goal - BELOW_GOAL, 0)
  let hovered: number | null = null
  return {
    scales: { x: scaleFor(cost), y: { range: () => [floor, 1.004] } },
    axes: [
      axisOf(palette, 'CPU time of a query, µs', isLogarithmic(cost)),
      axisOf(palette, 'recall'),
    ],
    legend: { show: false },
    cursor: { points: { show: false }, drag: { x: false, y: false } },
    series: [{}, { paths: () => null, points: { show: false } }],
    hooks: {
      draw: [(chart) => paint(chart, cloud, palette)],
      setCursor: [
        (chart) => {
          const row = dots.near(chart)
          if (row === hovered) return
          hovered = row
          latest.current.onHover(row)
        },
      ],
      ready: [
        (chart) => {
          cloud.chart.current = chart
          chart.over.addEventListener('click', () => {
            const row = dots.near(chart)
            if (row !== null) latest.current.onChoose(row)
          })
        },
      ],
      destroy: [
        (chart) => {
          if (cloud.chart.current === chart) cloud.chart.current = null
        },
      ],
    },
  }
}

function paint(chart: UPlot, { dots, front, latest }: Cloud, palette: Palette): void {
  const { points, goal, chosen, marks } = latest.current
  const { ctx, bbox } = chart
  ctx.save()
  ctx.beginPath()
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height)
  ctx.clip()
  dots.paint(chart, palette.dot)
  const place = (row: number): readonly [number, number] => dots.place(row)
  const goalY = chart.valToPos(goal, 'y', true)
  const goalLine = [[bbox.left, goalY] as const, [bbox.left + bbox.width, goalY] as const]
  drawLine(ctx, goalLine, { colour: palette.quiet, width: 1.5, dash: [6, 5] })
  drawLine(ctx, front.map(place), { colour: palette.accent, width: 2.5 })
  if (chosen !== null) {
    const own = rowsOf(points, chosen)
    drawLine(ctx, own.map(place), { colour: palette.text, width: 2 })
    for (const row of own) drawMark(ctx, 'ring', place(row), palette.text)
  }
  for (const { form, row } of marks) drawMark(ctx, form, place(row), markColour(form, palette))
  ctx.restore()
}

function rowsOf({ points: { trial: of } }: TrialPoints, trial: number): number[] {
  const first = of.indexOf(trial)
  const rows: number[] = []
  for (let row = first; row >= 0 && of[row] === trial; row += 1) rows.push(row)
  return rows
}

function markColour(form: MarkForm, { second, third, fourth, text }: Palette): string {
  return { disc: second, diamond: third, triangle: fourth, ring: text }[form]
}
