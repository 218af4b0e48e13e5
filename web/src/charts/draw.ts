/** What is painted by hand on the canvas of a chart; places are in its own pixels. */

type Place = readonly [number, number]

/** `disc`: current. `diamond`: promoted. `triangle`: proposed. `ring`: chosen. */
export type MarkForm = 'disc' | 'diamond' | 'triangle' | 'ring'

const ratio = (): number => devicePixelRatio || 1

interface LineStyle {
  readonly colour: string
  readonly width: number
  readonly dash?: readonly number[]
}

export function drawLine(
  ctx: CanvasRenderingContext2D,
  places: readonly Place[],
  { colour, width, dash = [] }: LineStyle,
): void {
  ctx.strokeStyle = colour
  ctx.lineWidth = width * ratio()
  ctx.setLineDash(dash.map((length) => length * ratio()))
  ctx.beginPath()
  for (const [x, y] of places) ctx.lineTo(x, y)
  ctx.stroke()
  ctx.setLineDash([])
}

export function drawMark(
  ctx: CanvasRenderingContext2D,
  form: MarkForm,
  [x, y]: Place,
  colour: string,
): void {
  const size = SIZES[form] * ratio()
  ctx.beginPath()
  if (form === 'disc' || form === 'ring') ctx.arc(x, y, size, 0, 2 * Math.PI)
  else for (const [dx, dy] of CORNERS[form]) ctx.lineTo(x + dx * size, y + dy * size)
  ctx.closePath()
  ctx.lineWidth = 2 * ratio()
  if (form === 'ring') {
    ctx.strokeStyle = colour
    ctx.stroke()
    return
  }
  ctx.fillStyle = colour
  ctx.strokeStyle = 'white'
  ctx.fill()
  ctx.stroke()
}

/** What is current can stand on what is promoted: both are seen. */
const SIZES = { ring: 4, disc: 5, diamond: 9, triangle: 8 } as const

const CORNERS = {
  diamond: [
    [0, -1.25],
    [1.25, 0],
    [0, 1.25],
    [-1.25, 0],
  ],
  triangle: [
    [0, -1.2],
    [1.15, 0.9],
    [-1.15, 0.9],
  ],
} as const
