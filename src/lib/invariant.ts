/**
 * Assertions that stay on in production.
 *
 * A broken invariant is a bug of ours, never a fault of a caller: operating errors are
 * `VectordError`. It is caught only at a boundary (a request, a turn of a core, a tick of a loop).
 */

export class InvariantError extends Error {
  override readonly name = 'InvariantError'
}

/** @throws {InvariantError} when `condition` is false; `claim` says what should have held. */
export function invariant(condition: boolean, claim: string): asserts condition {
  if (!condition) throw new InvariantError(`invariant broken: ${claim}`)
}
