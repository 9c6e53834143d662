/** A quota that is refused is in no plan. */
import assert from 'node:assert/strict'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { systemClock } from '../clock.ts'
import { systemProcesses } from '../shards/processes.ts'
import { ClusterDirectory } from './directory.ts'
import { remove } from './files.ts'
import { changeQuota } from './space.ts'

const QUOTA_BYTES = 2 ** 31
const folder = mkdtempSync(join(tmpdir(), 'holdfast-space.'))
after(() => remove(folder))

test('a quota is written down only when it can be carried out', async () => {
  const directory = new ClusterDirectory(folder)
  directory.create({ token: 'test', quotaBytes: QUOTA_BYTES, root: 'holdfast', members: [] })
  const ill = { name: 'm1', id: 1n, status: null, trouble: 'does not answer', isLocal: true }
  const doors = { look: async () => ({ members: [ill], leader: null, alarms: [] }) }
  const progress = { say: () => undefined, update: () => undefined }
  const signal = AbortSignal.timeout(60_000)
  // What is asked of the doors before anything is changed.
  const work = { directory, doors, progress, signal, clock: systemClock } as unknown as Parameters<
    typeof changeQuota
  >[0]
  await assert.rejects(changeQuota(work, QUOTA_BYTES / 2), /are not run by/)
  writeFileSync(directory.runningFile, JSON.stringify({ process: systemProcesses.own(), members: [] }))
  await assert.rejects(changeQuota(work, QUOTA_BYTES / 2), /Not changing the quota while .* m1 does not answer/)
  assert.equal(directory.plan().quotaBytes, QUOTA_BYTES)
})
