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
export function axisOf(palette: Palette, label: string, isLogarithmic = false): UPlot.Axis {
  const tick = (value: number): string => String(Number(value.toPrecision(6)))
  return {
    splits: (_chart, _axis, ...range: number[]) => (isLogarithmic ? decades(range) : steps(range)),
    filter: (_chart, splits) => splits,
    values: (_chart, splits) => splits.map(tick),
    label,
    labelSize: 26,
    labelFont: '12px system-ui, sans-serif',
    font: '12px system-ui, sans-serif',
    stroke: palette.quiet,
    grid: { stroke: palette.line, width: 1 },
    ticks: { stroke: palette.line, width: 1 },
  }
}

function steps([low = 0, high = 0, increment = 1]: readonly number[]): number[] {
  const first = Math.ceil(low / increment)
  const last = Math.floor(high / increment)
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => (first + i) * increment)
}

/** 1, 2 and 5 in each decade. */
function decades([low = 0, high = 0]: readonly number[]): number[] {
  const powers = Array.from({ length: 16 }, (_, i) => 10 ** (i - 6))
  const ticks = powers.flatMap((power) => [power, 2 * power, 5 * power])
  return ticks.filter((tick) => tick >= low && tick <= high)
}

/** True where values span so much that decades show them better. */
export function isLogarithmic(values: readonly number[]): boolean {
  const [low, high] = extent(values)
  return low > 0 && high / low > 30
}

/** A scale that holds the values, with some room. */
export function scaleFor(values: readonly number[]): UPlot.Scale {
  const [low, high] = extent(values)
  const span = high - low || high || 1
  const isWide = isLogarithmic(values)
  const range: UPlot.Range.MinMax = isWide
    ? [low / 1.15, high * 1.15]
    : [Math.max(0, low - 0.06 * span), high + 0.06 * span]
  // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- it exists in types only
  const distr = (isWide ? 3 : 1) as UPlot.Scale.Distr
  return { time: false, distr, range: () => range }
}

/** A loop: there may be tens of thousands. */
function extent(values: readonly number[]): readonly [number, number] {
  let [low, high] = [Infinity, -Infinity]
  for (const value of values) {
    if (value < low) low = value
    if (value > high) high = value
  }
  return [low, high]
}
