/** The trail of several servers over one etcd: any of them answers for all, also for what a server did that is gone. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type LockEvent } from '@holdfast/client'
import { rootKey } from '../harness/server.ts'
import { startServers } from '../harness/servers.ts'

const headers = { authorization: `Bearer ${rootKey}`, 'content-type': 'application/json' }
/** So much metadata that the log is cleaned, and so archived, after some thousand cycles. */
const TEXT = 'metadata '.repeat(200)

type Page = { records: { id: string }[]; next?: { start: string } }
type Checked = { batches: number; problems: object[]; heads: object[]; next?: string }

test('the owner is killed, another goes on: each server has every event once, and finds the chains whole', async () => {
  const servers = await startServers({ servers: 2, etcd: { members: 1 } })
  try {
    const holdfast = connect({ url: servers.urls.join(','), apiKey: rootKey, ttlMs: 30_000 })
    const seen: LockEvent[] = []
    const over = new AbortController()
    const watching = (async () => {
      for await (const event of holdfast.watch({ signal: over.signal })) if (event.type !== 'reset') seen.push(event)
    })().catch(() => undefined)
    let isOver = false
    const work = Array.from({ length: 32 }, async (_, worker) => {
      while (!isOver) {
        try {
          const lock = await holdfast.acquire(`load/${worker}`, { metadata: { text: TEXT } })
          await lock.release()
        } catch {
          // What became of it is in the trail or is not, as it happened.
          await sleep(50)
        }
      }
    })
    const owner = async () => servers.all[await servers.busiest()]!
    while (!(await isArchived((await owner()).url))) await sleep(200)
    const place = await servers.busiest()
    await servers.all[place]!.kill()
    const count = seen.length
    while (seen.length < count + 500) await sleep(100)
    await servers.start(place)
    isOver = true
    await Promise.allSettled(work)
    await sleep(500)
    over.abort()
    await watching
    await holdfast.close()
    assert.ok(seen.length > 1_000)
    for (const url of servers.urls) {
      const times = new Map<string, number>()
      for (const { id } of await trailOf(url)) times.set(id, (times.get(id) ?? 0) + 1)
      assert.deepEqual(
        seen.filter(({ id }) => times.get(id) !== 1).map(({ id, type }) => `${id} ${type}`),
        [],
      )
      const { problems, heads } = await checkOf(url)
      assert.deepEqual(problems, [])
      assert.equal(heads.length, 9, 'eight shards and the trail of administration')
    }
  } finally {
    await servers.stop()
  }
})

async function isArchived(url: string): Promise<boolean> {
  const text = await (await fetch(`${url}/metrics`, { headers })).text()
  return /^holdfast_audit_archive_bytes\{shard="\d"\} [1-9]/m.test(text)
}

async function trailOf(url: string): Promise<Page['records']> {
  const records: Page['records'] = []
  for (let start = ''; ; ) {
    const answer = await fetch(`${url}/v2/audit?order=oldest&limit=1000${start && `&start=${start}`}`, { headers })
    // What `queryAudit` declares.
    const page = (await answer.json()) as Page
    assert.equal(answer.status, 200, JSON.stringify(page))
    records.push(...page.records)
    if (!page.next) return records
    start = page.next.start
  }
}

async function checkOf(url: string): Promise<{ problems: object[]; heads: object[] }> {
  const [problems, heads]: [object[], object[]] = [[], []]
  for (let start: string | undefined; ; ) {
    const body = JSON.stringify(start === undefined ? {} : { start })
    const answer = await fetch(`${url}/v2/audit/verify`, { method: 'POST', headers, body })
    // What `verifyAudit` declares.
    const part = (await answer.json()) as Checked
    assert.equal(answer.status, 200, JSON.stringify(part))
    problems.push(...part.problems)
    heads.push(...part.heads)
    if (part.next === undefined) return { problems, heads }
    start = part.next
  }
}
