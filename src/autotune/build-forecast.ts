/**
 * What will a build cost? From the builds of this epoch, in CPU seconds.
 *
 *     log t = a + b log m + c log efConstruction
 *
 * On five data sets b lay between 0.14 and 0.24 and c between 0.80 and 0.96, with a median error of 3 to
 * 5 %. The middle of these ranges is where b and c start; builds pull them away, so that one build
 * gives a forecast already and a few make it a fit.
 */

import type { Trial } from '../domain/trial.ts'
import type { Cell } from './search-space.ts'

const START_M = 0.19
const START_EF_CONSTRUCTION = 0.88
/** Builds that the start values weigh as much as, where those spread over an octave. */
const START_WEIGHT = 1
/** A fit needs few points, and a journal may hold thousands. */
const BUILDS_MAX = 200

export type BuildForecast = (cell: Cell) => number

interface Build {
  readonly m: number
  readonly efConstruction: number
  readonly cpu: number
}

/** Forecasts CPU seconds; null where nothing was built yet. */
export function buildForecast(history: readonly Trial[]): BuildForecast | null {
  const builds = history.flatMap(logBuild).slice(-BUILDS_MAX)
  if (builds.length === 0) return null
  const mean = (of: (build: Build) => number): number =>
    builds.reduce((sum, build) => sum + of(build), 0) / builds.length
  const m = mean((build) => build.m)
  const efConstruction = mean((build) => build.efConstruction)
  const residual = ({ m: x, efConstruction: y, cpu }: Build): number =>
    cpu - START_M * x - START_EF_CONSTRUCTION * y
  const middle = mean(residual)
  let [xx, xy, yy, xr, yr] = [START_WEIGHT, 0, START_WEIGHT, 0, 0]
  for (const build of builds) {
    const x = build.m - m
    const y = build.efConstruction - efConstruction
    const r = residual(build) - middle
    xx += x * x
    xy += x * y
    yy += y * y
    xr += x * r
    yr += y * r
  }
  // Positive: the weights of the start values keep the matrix away from singular.
  const determinant = xx * yy - xy * xy
  const b = START_M + (xr * yy - yr * xy) / determinant
  const c = START_EF_CONSTRUCTION + (yr * xx - xr * xy) / determinant
  const a = mean(({ cpu }) => cpu) - b * m - c * efConstruction
  return (cell) =>
    Math.exp(a + b * Math.log(cell.m) + c * Math.log(Math.max(cell.m, cell.efConstruction)))
}

/** Builds that took time: a graph from the cache says nothing. */
function logBuild({ build, config }: Trial): Build[] {
  if (build === null || build.cached) return []
  const one = {
    m: Math.log(config.m),
    efConstruction: Math.log(Math.max(config.m, config.efConstruction)),
    cpu: Math.log(build.cpuS),
  }
  return Object.values(one).every(Number.isFinite) ? [one] : []
}
