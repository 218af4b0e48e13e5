/**
 * What LanceDB takes from the environment; to be imported before it is.
 */

import { availableParallelism } from 'node:os'

// By itself it leaves two processors to others: of two, one would be all that it has.
process.env['LANCE_CPU_THREADS'] ??= String(availableParallelism())
// Its warnings are advice to whoever trains an index.
process.env['LANCEDB_LOG'] ??= 'error'
