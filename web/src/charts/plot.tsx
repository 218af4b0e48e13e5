/** A uPlot chart as a component: as wide as its frame, in the colours of the theme. */

import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import UPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { colour, colours } from '../theme.ts'

const HEIGHT = 340

export interface Palette {
  readonly text: string
  readonly quiet: string
  readonly line: string
  readonly surface: string
  readonly accent: string
  readonly dot: string
  readonly good: string
  readonly bad: string
  readonly second: string
  readonly third: string
  readonly fourth: string
}

export interface PlotProps {
  /** What the chart shows, in a sentence. */
  readonly label: string
  readonly data: UPlot.AlignedData
  /** Everything but the size. A new function makes the chart anew. */
  readonly options: (palette: Palette) => Omit<UPlot.Options, 'width' | 'height'>
}

export function Plot({ label, data, options }: PlotProps): JSX.Element {
  const frame = useRef<HTMLDivElement>(null)
  const painted = colours.value
  useEffect(() => {
    const parent = frame.current
    if (parent === null) return undefined
    const size = { width: Math.max(200, parent.clientWidth), height: HEIGHT }
    const chart = new UPlot({ ...options(palette()), ...size }, data, parent)
    const observer = new ResizeObserver(() => {
      const width = Math.max(200, parent.clientWidth)
      if (width !== chart.width) chart.setSize({ width, height: HEIGHT })
    })
    observer.observe(parent)
    return () => {
      observer.disconnect()
      chart.destroy()
    }
  }, [data, options, painted])
  return <div class="chart" ref={frame} role="img" aria-label={label} />
}

function palette(): Palette {
  return {
    text: colour('text'),
    quiet: colour('quiet'),
    line: colour('line'),
    surface: colour('surface'),
    accent: colour('accent'),
    dot: colour('dot'),
    good: colour('good'),
    bad: colour('bad'),
    second: colour('series-2'),
    third: colour('series-3'),
    fourth: colour('series-4'),
  }
}

/** An axis in the type and colours of the page. */
export function axisOf(palette: Palette, label: string): UPlot.Axis {
  return {
    label,
    labelSize: 26,
    labelFont: '12px system-ui, sans-serif',
    font: '12px system-ui, sans-serif',
    stroke: palette.quiet,
    grid: { stroke: palette.line, width: 1 },
    ticks: { stroke: palette.line, width: 1 },
  }
}

/** A scale that counts in decades where the values span more than one and a half of them. */
export function scaleFor(values: readonly number[]): UPlot.Scale {
  const low = values.reduce((least, value) => Math.min(least, value), Infinity)
  const high = values.reduce((most, value) => Math.max(most, value), -Infinity)
  const isWide = low > 0 && high / low > 30
  const range: UPlot.Range.MinMax = isWide
    ? [low / 1.15, high * 1.15]
    : [Math.max(0, low - 0.06 * (high - low || low)), high + 0.06 * (high - low || high)]
  return { time: false, distr: isWide ? 3 : 1, range: () => range }
}
