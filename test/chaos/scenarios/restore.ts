/**
 * A backup under load, a disaster, and a restore of what was: `holdfast cluster up`, `backup` and `restore` as operators use them, with clients that
 * never stop. The store goes back in time, so its log is no ground truth here; what clients and the resource saw is.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cli } from '../../harness/cli.ts'
import { etcdEnvironment, startCluster, TestCluster } from '../../harness/cluster.ts'
import { freePort } from '../../harness/process.ts'
import { asker } from '../../harness/rest.ts'
import { exclusiveLocks } from '../../simulator/claims.ts'
import { type ClientsOf, clientConfig } from '../client/config.ts'
import { ClientHandle, Resource } from '../clients.ts'
import { supervised } from '../ended.ts'
import { countsOf, judgeBeliefs } from '../judging.ts'
import { nowMs } from '../record/recorder.ts'
import type { Played, PlayOptions, Scenario } from '../scenario.ts'

const PROCESSES = 3
/** Longer than the longest TTL below: what was granted after the backup is believed no longer. */
const WAIT = '6s'
const TTLS_MS = [4_000, 2_000]
/** Of the run: before the backup, and from there to the disaster. */
const BEFORE_SHARE = 0.25
const SINCE_SHARE = 0.25
const GRANTED_MS_MAX = 60_000
const ENDS_MS_MAX = 30_000
const STUCK_CHARS_MAX = 2_000

export const restores: Scenario[] = [
  {
    id: '20',
    name: 'old backup restored under load',
    does: 'holdfast cluster backup while clients work; later the members and servers are killed, the backup is restored into a new cluster, and servers start on it',
    expects: 'no token comes twice or falls (I2, I3), no overlap of belief (I4); granted again when the wait is over',
    boundMs: 40_000,
    strike: () => Promise.reject(new Error('it has a rig of its own')),
    play,
  },
]

async function play({ folder, seed, seconds, tell }: PlayOptions): Promise<Played> {
  const ports = [await freePort(), await freePort()]
  const cluster = await startCluster({ members: 1 })
  const restored = new TestCluster({})
  const resource = new Resource(folder)
  const clients: ClientHandle[] = []
  try {
    for (const port of ports) await supervised(() => cluster.startServer({ port }))
    const to: ClientsOf = { folder, seed, urls: cluster.urls, resourcePort: Number(await resource.port()) }
    for (let index = 0; index < PROCESSES; index++)
      clients.push(
        new ClientHandle(clientConfig(to, index, { ttlsMs: TTLS_MS, watches: false, idleEveryMs: 0 }), folder),
      )
    await Promise.all(clients.map(client => client.line(line => line === 'ready')))
    tell('works')
    await sleep(seconds * 1_000 * BEFORE_SHARE)
    const backup = join(cluster.folder.path, 'backup.db')
    await cluster.ok('backup', backup)
    await sleep(seconds * 1_000 * SINCE_SHARE)
    const diedMs = nowMs()
    await disaster(cluster)
    tell('is restored')
    await restore(backup, restored)
    await restored.startUp([])
    for (const port of ports) await supervised(() => restored.startServer({ port }))
    const restoredMs = nowMs()
    await grantedSince(clients, restoredMs)
    await sleep(seconds * 1_000 * (1 - BEFORE_SHARE - SINCE_SHARE) * 0.5)
    const stuck = await end(clients, restored)
    return judged({ clients, resource, diedMs, restoredMs, stuck })
  } finally {
    for (const { child } of [...clients, resource]) child.kill('SIGKILL')
    await restored.stop()
    await cluster.stop()
  }
}

/** Everything that ran is gone, at once. */
async function disaster(cluster: TestCluster): Promise<void> {
  await Promise.all(cluster.servers.splice(0).map(server => server.kill()))
  await cluster.stopUp()
}

async function restore(backup: string, into: TestCluster): Promise<void> {
  const args = ['cluster', 'restore', backup, '--data', into.data, '--port', '0', '--wait', WAIT]
  const { code, stderr } = await cli(args, { url: '', env: etcdEnvironment() })
  if (code !== 0) throw new Error(`the backup could not be restored: ${stderr}`)
}

function acquiresOf(clients: readonly ClientHandle[]) {
  return clients.flatMap(client => {
    const called = new Map<number, number>()
    return client.history().flatMap(line => {
      if (line.e === 'call') called.set(line.n, line.t)
      if (line.e !== 'return' || line.deed.does !== 'acquire') return []
      return [{ calledMs: called.get(line.n) ?? line.t, returnedMs: line.t, token: line.deed.token }]
    })
  })
}

async function grantedSince(clients: readonly ClientHandle[], sinceMs: number): Promise<void> {
  const untilMs = performance.now() + GRANTED_MS_MAX
  while (!acquiresOf(clients).some(({ calledMs }) => calledMs > sinceMs)) {
    if (performance.now() > untilMs) throw new Error(`nothing was granted for ${GRANTED_MS_MAX} ms after the restore`)
    await sleep(200)
  }
}

/** Returns what the service says of the locks that somebody still waits for. */
async function end(clients: readonly ClientHandle[], { urls }: TestCluster): Promise<string[]> {
  for (const client of clients) client.tell('finish')
  const untilMs = performance.now() + ENDS_MS_MAX
  while (!clients.every(client => client.has('finished')) && performance.now() < untilMs) await sleep(50)
  const isStuck = !clients.every(client => client.has('finished'))
  const stuck = isStuck ? await Promise.all(exclusiveLocks.map(lock => told(urls[0] ?? '', lock))) : []
  for (const client of clients) client.tell('leave')
  const gone = Promise.all(clients.map(({ exited }) => exited))
  await Promise.race([gone, sleep(ENDS_MS_MAX, undefined, { ref: false })])
  return stuck
}

async function told(url: string, lock: string): Promise<string> {
  const { body } = await asker(url)('GET', `/v2/locks/${encodeURIComponent(lock)}/queue`)
  return `${lock}: ${JSON.stringify(body).slice(0, STUCK_CHARS_MAX)}`
}

type Run = { clients: ClientHandle[]; resource: Resource; diedMs: number; restoredMs: number; stuck: string[] }

function judged({ clients, resource, diedMs, restoredMs, stuck }: Run): Played {
  const violations: Played['violations'] = []
  const found = (check: () => void) => {
    try {
      check()
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error)
      violations.push({ invariant: /^I\d+/.exec(what)?.[0] ?? 'run', what })
    }
  }
  const wrong = (what: string) => violations.push({ invariant: /^I\d+/.exec(what)?.[0] ?? 'run', what })
  for (const lock of stuck) wrong(`I8: at the end the service says of ${lock}`)
  const histories = clients.map(client => client.history())
  const lines = histories.flat()
  for (const line of lines) if (line.e === 'wrong') wrong(line.what)
  const attempts = resource.attempts()
  judgeBeliefs(
    { recorded: [], cleanings: [], histories, attempts, deaths: [], instance: 'default', promises: [] },
    lines,
    found,
  )
  const acquires = acquiresOf(clients)
  const before = acquires.filter(({ returnedMs }) => returnedMs < diedMs)
  const after = acquires.filter(({ calledMs }) => calledMs > restoredMs)
  const highest = before.reduce((most, { token }) => Math.max(most, token), 0)
  for (const { token } of after) if (token <= highest) wrong(`I2: ${token} was granted after ${highest}`)
  const tokens = acquires.map(({ token }) => token)
  if (new Set(tokens).size !== tokens.length) wrong('I2: a token was granted twice')
  const largest = new Map<string, number>()
  for (const { lock, token, ok } of attempts.filter(one => one.ok)) {
    if (ok && token < (largest.get(lock) ?? 0))
      wrong(`I3: ${lock} was written under ${token} after ${largest.get(lock)}`)
    largest.set(lock, token)
  }
  const firstMs = after.reduce((first, { returnedMs }) => Math.min(first, returnedMs), Number.POSITIVE_INFINITY)
  return {
    violations,
    counts: countsOf(histories),
    faults: { 'store put back to a backup': 1 },
    refused: attempts.filter(({ ok }) => !ok).length,
    nextGrantMs: [firstMs - diedMs],
    details: {
      grantsBefore: before.length,
      grantsAfter: after.length,
      beliefs: lines.filter(line => line.e === 'grant').length,
      accepted: attempts.length,
    },
  }
}
