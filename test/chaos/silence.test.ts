/** Servers that are asked for nothing but what they have in memory, so that no commit tells them that they are alone: only their own deadline does (SAFETY P8). */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { temporaryFolder } from '../harness/process.ts'
import { asker, openSession } from '../harness/rest.ts'
import { defaults, Rig } from './rig.ts'

const LOCK = 'held'
/** Renewed by nobody: it ends by itself, with what it holds. */
const TTL_MS = 3_000
/** It answers with it, or it does not answer. */
const ASK_MS_MAX = 500
const TAKEN_MS_MAX = 20_000

test('an owner that is cut off from the store answers nothing from memory when others may have taken over', async () => {
  const folder = temporaryFolder('silence')
  const rig = new Rig({ ...defaults, members: 1, servers: 2, processes: 0, folder: folder.path, seed: 1, seconds: 1 })
  try {
    await rig.start()
    const urls = rig.servers.map(({ url }) => url)
    const headers = { 'holdfast-session': await openSession(asker(urls[0]!), TTL_MS) }
    assert.equal((await asker(urls[0]!)('POST', `/v2/locks/${LOCK}/acquire`, {}, headers)).status, 200)
    const place = await rig.owner()
    const over = new AbortController()
    const asked = urls.map(url => ask(url, over.signal))
    try {
      rig.links.cutFromStore(place, 'both')
      await taken(rig, rig.log.counts.takeovers)
    } finally {
      over.abort()
      rig.links.heal()
    }
    const answers = await Promise.all(asked)
    assert.ok(answers[place]! > 0 && answers[1 - place]! > 0, `${answers} answers`)
    const { violations, figures } = await rig.rest()
    assert.deepEqual(
      violations.map(({ what }) => what),
      [],
    )
    assert.ok(figures.windows > 1 && figures.answered >= answers[place]!, JSON.stringify(figures))
  } finally {
    await rig.stop()
    folder.remove()
  }
})

/** Returns how often it was answered. */
async function ask(url: string, signal: AbortSignal): Promise<number> {
  let answers = 0
  while (!signal.aborted) {
    const asking = AbortSignal.any([signal, AbortSignal.timeout(ASK_MS_MAX)])
    const status = await asker(url, asking)('GET', `/v2/locks/${LOCK}`).then(
      answer => answer.status,
      () => null,
    )
    if (status === 200) answers++
    await sleep(5)
  }
  return answers
}

/** Returns when all shards of the owner have been taken by the other, and have been asked for a while. */
async function taken(rig: Rig, before: number): Promise<void> {
  const untilMs = performance.now() + TAKEN_MS_MAX
  while (rig.log.counts.takeovers === before) {
    if (performance.now() > untilMs) assert.fail('nobody takes over from an owner that is cut off')
    await sleep(20)
  }
  await sleep(ASK_MS_MAX)
}
