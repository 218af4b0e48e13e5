/** Reads the code of an error that Node's own modules threw. */

/** True where `error` carries one of `codes`, such as `ENOENT`. */
export function hasErrno(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}
