/** Recall against ef: as the promoted trial measured it, with its bound, and of live searches. */

import type { JSX } from 'preact'
import { useMemo } from 'preact/hooks'
import UPlot from 'uplot'
import type { Curve } from '../api/tuning-types.ts'
import { drawLine } from './draw.ts'
import { axisOf, isLogarithmic, Plot, scaleFor, type Palette } from './plot.tsx'

interface RecallCurveProps {
  readonly curve: Curve
  readonly goal: number
}

export function RecallCurve({ curve, goal }: RecallCurveProps): JSX.Element {
  const key = JSON.stringify([curve, goal])
  const data = useMemo(() => joined(curve), [key])
  const options = useMemo(() => {
    return (palette: Palette) => optionsOf(curve, goal, palette)
  }, [key])
  const label =
    `Recall against ef, with the goal ${goal}` +
    `${curve.ef === null ? '' : ` and the ef in use, ${curve.ef}`}. The table below holds the same.`
  return <Plot label={label} data={data} options={options} />
}

function joined({ promoted, live }: Curve): UPlot.AlignedData {
  const trial = promoted?.points ?? []
  const searched = live?.points ?? []
  return UPlot.join([
    [
      trial.map(({ ef }) => ef),
      trial.map(({ recall }) => recall),
      trial.map(({ recall_lcb }) => recall_lcb),
    ],
    [
      searched.map(({ ef }) => ef),
      searched.map(({ recall }) => recall),
      searched.map(({ recall_lcb }) => recall_lcb),
      searched.map(({ recall_ucb }) => recall_ucb),
    ],
  ])
}

function optionsOf(
  curve: Curve,
  goal: number,
  palette: Palette,
): Omit<UPlot.Options, 'width' | 'height'> {
  const points = [...(curve.promoted?.points ?? []), ...(curve.live?.points ?? [])]
  const least = points.reduce((low, point) => Math.min(low, point.recall_lcb), goal)
  const efs = [...points.map(({ ef }) => ef), ...(curve.ef === null ? [] : [curve.ef])]
  const line = (stroke: string, dash: number[] = []): UPlot.Series => ({
    ...{ stroke, dash, width: 2, spanGaps: true, points: { show: true, size: 6 } },
  })
  return {
    scales: { x: scaleFor(efs), y: { range: () => [Math.max(0, least - 0.02), 1.004] } },
    axes: [axisOf(palette, 'ef of a search', isLogarithmic(efs)), axisOf(palette, 'recall')],
    legend: { show: false },
    cursor: { drag: { x: false, y: false } },
    series: [
      {},
      line(palette.accent),
      { ...line(palette.accent, [5, 4]), points: { show: false } },
      line(palette.second),
      { ...line(palette.second, [2, 4]), width: 1, points: { show: false } },
      { ...line(palette.second, [2, 4]), width: 1, points: { show: false } },
    ],
    hooks: { draw: [(chart) => paint(chart, curve, goal, palette)] },
  }
}

function paint(chart: UPlot, { ef }: Curve, goal: number, palette: Palette): void {
  const { ctx, bbox } = chart
  const y = chart.valToPos(goal, 'y', true)
  const goalLine = [[bbox.left, y] as const, [bbox.left + bbox.width, y] as const]
  drawLine(ctx, goalLine, { colour: palette.quiet, width: 1.5, dash: [6, 5] })
  if (ef === null) return
  const x = chart.valToPos(ef, 'x', true)
  const efLine = [[x, bbox.top] as const, [x, bbox.top + bbox.height] as const]
  drawLine(ctx, efLine, { colour: palette.third, width: 2 })
}
