/**
 * Faulty S3 at full size (T5): `npm run proof:s3 -- --operations 200000 --seed 1`.
 *
 * A step is 16 actors side by side: eight on objects, four on documents, four on logs. Documents and
 * logs need conditions, so theirs are never ignored: the probe of the bucket refuses such a server.
 */

import { S3_FAULTS, type S3Fault } from '../support/s3-fault-proxy.ts'
import { type Actor, openChaosBucket } from '../support/s3-chaos.ts'
import { DocumentActor } from '../support/s3-document-actor.ts'
import { LogActor } from '../support/s3-log-actor.ts'
import { startS3Server } from '../support/s3-server.ts'
import { StoreActor } from '../support/s3-store-actor.ts'
import { prove } from '../support/proof.ts'
import { inFolder } from '../support/service.ts'

const STORES = 8
const DOCUMENTS = 4
const LOGS = 4
const STEP_OPERATIONS = 800
const SEED_STRIDE = 7919

const server = await startS3Server()
if (server === null) throw new Error('no S3 server can be had')
const bucket = await openChaosBucket(server)
const KEEPING: readonly S3Fault[] = S3_FAULTS.filter((fault) => fault !== 'ignored_condition')

await inFolder((folder) =>
  prove({
    unit: 'operations',
    count: 200_000,
    stepUnits: STEP_OPERATIONS,
    counts: () => Object.fromEntries(bucket.strikes),
    step: async (seed, operations) => {
      let n = 0
      const next = (faults: readonly S3Fault[]): Actor => {
        n += 1
        return bucket.actor(`${seed}-${n}`, (seed + n * SEED_STRIDE) % 2 ** 31, faults)
      }
      const actors = [
        ...Array.from({ length: STORES }, () => new StoreActor(next(S3_FAULTS), folder)),
        ...Array.from({ length: DOCUMENTS }, () => new DocumentActor(next(KEEPING))),
        ...Array.from({ length: LOGS }, () => new LogActor(next(KEEPING))),
      ]
      const each = Math.ceil(operations / actors.length)
      const done = await Promise.allSettled(
        actors.map(async (actor) => {
          for (let i = 0; i < each; i += 1) await actor.operate()
          await actor.check()
        }),
      )
      await bucket.clear()
      for (const one of done) if (one.status === 'rejected') throw one.reason
    },
  }),
)
await bucket.close()
await server.close()
