/**
 * Tens of thousands of dots of a chart, painted once: places are computed in one loop, dots that would
 * hide each other are left out, and the picture is kept until size, scale or colour change.
 */

import type UPlot from 'uplot'
import type { Cloud } from './pareto.ts'
import { isLogarithmic } from './plot.tsx'

/** Pixels around the pointer in which a dot is found. */
const REACH = 18
/** Clouds above it get smaller dots. */
const MANY = 4000

export class Dots {
  readonly #cloud: Cloud
  readonly #isLogarithmic: boolean
  /** Pixels of the canvas. */
  readonly #x: Float32Array
  readonly #y: Float32Array
  #painted: { readonly key: string; readonly picture: HTMLCanvasElement } | null = null

  constructor(cloud: Cloud) {
    this.#cloud = cloud
    this.#isLogarithmic = isLogarithmic(cloud.cpu_us)
    this.#x = new Float32Array(cloud.trial.length)
    this.#y = new Float32Array(cloud.trial.length)
  }

  /** In pixels of the canvas; right after `paint`. */
  place(row: number): readonly [number, number] {
    return [this.#x[row] ?? 0, this.#y[row] ?? 0]
  }

  paint(chart: UPlot, colour: string): void {
    const { width, height } = chart.ctx.canvas
    const { x, y } = chart.scales
    const key = [width, height, x?.min, x?.max, y?.min, y?.max, colour].join()
    if (this.#painted?.key !== key) {
      this.#locate(chart)
      this.#painted = { key, picture: this.#picture(width, height, colour) }
    }
    chart.ctx.drawImage(this.#painted.picture, 0, 0)
  }

  /** The row whose dot is nearest to the pointer; null where none is near. */
  near(chart: UPlot): number | null {
    const { left = -1, top = -1 } = chart.cursor
    if (left < 0) return null
    const ratio = devicePixelRatio || 1
    const atX = left * ratio + chart.bbox.left
    const atY = top * ratio + chart.bbox.top
    let best: number | null = null
    let bestSquare = (REACH * ratio) ** 2
    for (let row = 0; row < this.#x.length; row += 1) {
      const dx = (this.#x[row] ?? 0) - atX
      const dy = (this.#y[row] ?? 0) - atY
      const square = dx * dx + dy * dy
      if (square >= bestSquare) continue
      best = row
      bestSquare = square
    }
    return best
  }

  #locate({ bbox, scales }: UPlot): void {
    const isLog = this.#isLogarithmic
    const [lowX, spanX] = extentOf(scales['x'], isLog)
    const [lowY, spanY] = extentOf(scales['y'], false)
    for (const [row, cost] of this.#cloud.cpu_us.entries()) {
      const x = ((isLog ? Math.log10(cost) : cost) - lowX) / spanX
      const y = ((this.#cloud.recall[row] ?? 0) - lowY) / spanY
      this.#x[row] = bbox.left + x * bbox.width
      this.#y[row] = bbox.top + (1 - y) * bbox.height
    }
  }

  #picture(width: number, height: number, colour: string): HTMLCanvasElement {
    const picture = document.createElement('canvas')
    Object.assign(picture, { width, height })
    const ctx = picture.getContext('2d')
    if (ctx === null) return picture
    const size = Math.round((this.#x.length > MANY ? 2 : 4) * (devicePixelRatio || 1))
    ctx.fillStyle = colour
    const columns = Math.ceil(width / size)
    const isTaken = new Uint8Array(columns * Math.ceil(height / size + 1))
    for (let row = 0; row < this.#x.length; row += 1) {
      const [x, y] = this.place(row)
      if (y > height || y < 0) continue
      const cell = Math.floor(y / size) * columns + Math.floor(x / size)
      if (isTaken[cell] === 1) continue
      isTaken[cell] = 1
      ctx.fillRect(x - size / 2, y - size / 2, size, size)
    }
    return picture
  }
}

/** Where a scale begins and how far it reaches, as it is drawn. */
function extentOf(scale: UPlot.Scale | undefined, isLog: boolean): readonly [number, number] {
  const { min = 1, max = 1 } = scale ?? {}
  const [low, high] = isLog ? [Math.log10(min), Math.log10(max)] : [min, max]
  return [low, high - low]
}
