/** The short form of scenario 21e: a log on LMDB that is cleaned while its server is killed; and the same record of it spoilt, which must be refused (I22). */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Violation } from '../checker/judge.ts'
import type { Told } from '../checker/promising.ts'
import { temporaryFolder } from '../harness/process.ts'
import { commitsOfLmdb } from './record/lmdb-log.ts'
import { defaults, Rig, ROOT } from './rig.ts'
import { embeddedStore } from './scenarios/embedded.ts'
import { toldIn } from './server/told.ts'

const SECONDS = 4

test('a log that is cleaned while its server is killed says what the whole log said, and only what was deleted is gone', async () => {
  const folder = temporaryFolder('cleaning')
  const scenario = embeddedStore.find(({ id }) => id === '21e')!
  const client = { ...scenario.rig?.client, clients: 2, ttlsMs: [5_000], coldPaceMs: 10, idleEveryMs: 0 }
  const small = { ...scenario.rig, processes: 1, client }
  const rig = new Rig({ ...defaults, ...small, folder: folder.path, seed: 1, seconds: SECONDS })
  try {
    await rig.start()
    await sleep(SECONDS * 500)
    // As a fault, so that those who watch have the time that a heal has.
    await rig.fault('kill -9', async () => {
      await rig.servers[0]!.kill()
      await rig.startServer(0)
    })
    const { violations } = await rig.rest()
    assert.deepEqual(
      violations.map(({ what }) => what),
      [],
    )
    assert.ok(rig.log.counts.cleaned > 0 && rig.log.counts.carried > 0, JSON.stringify(rig.log.counts))
    await refused(rig, 'what is there is said to have been deleted', lines => lines.map(deletesMore))
    await refused(rig, 'nobody is said to have deleted anything', lines => lines.map(deletesNothing))
    await refused(rig, 'nobody has told of anything', () => [])
  } finally {
    await rig.stop()
    folder.remove()
  }
})

async function refused(rig: Rig, what: string, spoil: (told: Told[]) => Told[]): Promise<void> {
  const told = spoil(toldIn(rig.toldAt(0)))
  await assert.rejects(
    commitsOfLmdb(`${rig.dataOf(0)}/store`, ROOT, told),
    error => error instanceof Violation && error.message.startsWith('I22'),
    what,
  )
}

function deletesNothing(line: Told): Told {
  return line.e === 'log' ? { ...line, deleted: [] } : line
}

/** One batch more than it did. */
function deletesMore(line: Told): Told {
  if (line.e !== 'log') return line
  return { ...line, deleted: line.deleted.map(({ from, to }) => ({ from, to: `${to}\0` })) }
}
