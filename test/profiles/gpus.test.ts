/** What `nvidia-smi` prints, what it may print, and that a machine may have none. */

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { listGpus, parseGpus } from '../../src/profiles/gpus.ts'
import { temporaryFolder } from '../support/service.ts'

async function program(t: TestContext, script: string): Promise<string> {
  const path = join(await temporaryFolder(t), 'nvidia-smi')
  await writeFile(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  return path
}

it('each line is a GPU; what the driver does not know is null', () => {
  const { gpus, problem } = parseGpus(
    '0, GPU-aa, 16384, 4096, 12288, 37, NVIDIA RTX A4000\n' +
      '1, GPU-bb, 16384, [N/A], [Not Supported], [N/A], Odd, with a comma\n',
  )
  assert.equal(problem, null)
  const mib = 1024 * 1024
  assert.deepEqual(gpus, [
    {
      ...{ index: 0, uuid: 'GPU-aa', name: 'NVIDIA RTX A4000', utilization: 0.37 },
      ...{ totalBytes: 16384 * mib, usedBytes: 4096 * mib, freeBytes: 12288 * mib },
    },
    {
      ...{ index: 1, uuid: 'GPU-bb', name: 'Odd, with a comma', utilization: null },
      ...{ totalBytes: 16384 * mib, usedBytes: null, freeBytes: null },
    },
  ])
})

it('an output of another form is told, and no number of it is believed', () => {
  for (const output of [
    'No devices were found',
    '0, GPU-aa, 16384, 4096',
    '0, GPU-aa, many, 4096, 12288, 37, NVIDIA',
    '0, GPU-aa, -1, 4096, 12288, 37, NVIDIA',
    '0, GPU-aa, 16384, 4096, 12288, 37, NVIDIA\ntorn',
    'x, GPU-aa, 16384, 4096, 12288, 37, NVIDIA',
  ]) {
    const { gpus, problem } = parseGpus(output)
    assert.deepEqual([gpus, problem === null], [[], false], output)
  }
  assert.deepEqual(parseGpus('\n'), { gpus: [], problem: null })
})

it('a machine without nvidia-smi has no GPUs, and that is no problem', async () => {
  assert.deepEqual(await listGpus('/no/such/nvidia-smi'), { gpus: [], problem: null })
})

it('the program is asked for the fields in the order in which they are read', async (t) => {
  const script = `case "$1" in
  --query-gpu=index,uuid,memory.total,memory.used,memory.free,utilization.gpu,name)
    echo '0, GPU-aa, 10, 4, 6, 50, A' ;;
  *) exit 9 ;; esac`
  const { gpus } = await listGpus(await program(t, script))
  assert.deepEqual([gpus[0]?.name, gpus[0]?.utilization], ['A', 0.5])
})

it('one that fails, hangs or prints without end is told, and does not hold up the caller', async (t) => {
  const problem = async (script: string): Promise<string> =>
    (await listGpus(await program(t, script), 300)).problem ?? ''
  assert.match(await problem('echo secret; exit 9'), /ended with 9$/)
  assert.match(await problem('exec sleep 60'), /did not end within 300 ms/)
  assert.match(await problem('exec yes'), /printed too much|did not end/)
})
