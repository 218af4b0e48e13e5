/**
 * A plot as SVG text: a card that can be read on light and dark pages, two axes, marks and words.
 */

export interface Scale {
  readonly min: number
  readonly max: number
  readonly ticks: readonly number[]
  readonly label: string
  /** Equal factors are equally far apart. */
  readonly isLog?: boolean
}

export interface PlotSpec {
  readonly title: string
  readonly x: Scale
  readonly y: Scale
}

type Place = readonly [x: number, y: number]

const WIDTH = 760
const HEIGHT = 420
const FRAME = { left: 64, right: 24, top: 48, bottom: 56 }

export const INK = { text: '#1a202c', quiet: '#566072', line: '#dfe3ea', edge: '#8a94a5' } as const

export class SvgPlot {
  readonly #spec: PlotSpec
  readonly #parts: string[] = []

  constructor(spec: PlotSpec) {
    this.#spec = spec
    for (const tick of spec.x.ticks) {
      const x = this.#x(tick)
      this.#segment([x, FRAME.top], [x, HEIGHT - FRAME.bottom], INK.line)
      this.#words([x, HEIGHT - FRAME.bottom + 18], String(tick), { anchor: 'middle' })
    }
    for (const tick of spec.y.ticks) {
      const y = this.#y(tick)
      this.#segment([FRAME.left, y], [WIDTH - FRAME.right, y], INK.line)
      this.#words([FRAME.left - 8, y + 4], String(tick), { anchor: 'end' })
    }
    this.#words([WIDTH / 2, HEIGHT - 14], spec.x.label, { anchor: 'middle' })
    this.#words([FRAME.left - 44, 34], spec.y.label, {})
    this.#words([WIDTH - FRAME.right, 24], spec.title, { anchor: 'end', ink: INK.text })
  }

  path(
    places: readonly Place[],
    ink: string,
    style: { dashed?: boolean; width?: number } = {},
  ): void {
    const at = places.map(([x, y]) => `${fixed(this.#x(x))},${fixed(this.#y(y))}`).join(' ')
    const dashes = style.dashed === true ? ' stroke-dasharray="5 4"' : ''
    this.#parts.push(
      `<polyline points="${at}" fill="none" stroke="${ink}" stroke-width="${style.width ?? 2}"${dashes}/>`,
    )
  }

  dot([x, y]: Place, ink: string, style: { radius?: number; hollow?: boolean } = {}): void {
    const fill = style.hollow === true ? '#ffffff' : ink
    this.#parts.push(
      `<circle cx="${fixed(this.#x(x))}" cy="${fixed(this.#y(y))}" r="${style.radius ?? 3}" fill="${fill}" stroke="${ink}" stroke-width="2"/>`,
    )
  }

  /** From the bottom of the plot up to a value. */
  bar(x: number, y: number, ink: string): void {
    const [at, top] = [this.#x(x), this.#y(y)]
    const height = HEIGHT - FRAME.bottom - top
    this.#parts.push(
      `<rect x="${fixed(at - 22)}" y="${fixed(top)}" width="44" height="${fixed(height)}" rx="3" fill="${ink}"/>`,
    )
  }

  /** Words beside a place; `dx` and `dy` in pixels. */
  label([x, y]: Place, text: string, style: LabelStyle = {}): void {
    const place: Place = [this.#x(x) + (style.dx ?? 0), this.#y(y) + (style.dy ?? 0)]
    this.#words(place, text, { ink: INK.text, ...style })
  }

  toString(): string {
    const { title } = this.#spec
    return [
      `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">`,
      `<rect width="${WIDTH}" height="${HEIGHT}" rx="10" fill="#ffffff" stroke="${INK.line}"/>`,
      '<g font-family="system-ui, -apple-system, Segoe UI, Roboto, Liberation Sans, sans-serif" font-size="12.5">',
      ...this.#parts,
      '</g>',
      '</svg>',
      '',
    ].join('\n')
  }

  #x(value: number): number {
    return FRAME.left + share(this.#spec.x, value) * (WIDTH - FRAME.left - FRAME.right)
  }

  #y(value: number): number {
    return HEIGHT - FRAME.bottom - share(this.#spec.y, value) * (HEIGHT - FRAME.top - FRAME.bottom)
  }

  #segment([x1, y1]: Place, [x2, y2]: Place, ink: string): void {
    this.#parts.push(
      `<line x1="${fixed(x1)}" y1="${fixed(y1)}" x2="${fixed(x2)}" y2="${fixed(y2)}" stroke="${ink}"/>`,
    )
  }

  #words([x, y]: Place, text: string, { anchor = 'start', ink = INK.quiet }: WordStyle): void {
    this.#parts.push(
      `<text x="${fixed(x)}" y="${fixed(y)}" text-anchor="${anchor}" fill="${ink}">${escaped(text)}</text>`,
    )
  }
}

interface WordStyle {
  readonly anchor?: 'start' | 'middle' | 'end'
  readonly ink?: string
}

interface LabelStyle extends WordStyle {
  readonly dx?: number
  readonly dy?: number
}

function share({ min, max, isLog = false }: Scale, value: number): number {
  const at = (v: number): number => (isLog ? Math.log(v) : v)
  const part = (at(value) - at(min)) / (at(max) - at(min))
  return Math.min(1, Math.max(0, part))
}

function fixed(value: number): string {
  return value.toFixed(1)
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
