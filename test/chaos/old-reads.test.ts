/** The short form of scenario 11: the proxy, the servers and the judge, once from end to end. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { temporaryFolder } from '../harness/process.ts'
import { defaults, Rig } from './rig.ts'
import { oldReads, struck } from './scenarios/reading.ts'

/** Of the log, before the fault. */
const ENTRIES = 150

test('a log that is read as it had been is not answered on: recovery waits for the present', async () => {
  const folder = temporaryFolder('old-reads')
  const client = { clients: 3, ttlsMs: [5_000], paceMs: 20, idleEveryMs: 0 }
  const small = { members: 1, servers: 2, processes: 1, carry: 'commits' as const, client }
  const rig = new Rig({ ...defaults, ...small, folder: folder.path, seed: 1, seconds: 1 })
  try {
    await rig.start()
    while (rig.recorded.length < ENTRIES) await sleep(20)
    await oldReads(rig)
    const { violations, figures } = await rig.rest()
    assert.deepEqual(
      violations.map(({ what }) => what),
      [],
    )
    assert.ok(figures.windows > 1, JSON.stringify(figures))
    struck(rig)
  } finally {
    await rig.stop()
    folder.remove()
  }
})
