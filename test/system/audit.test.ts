/**
 * The trail of a real server on a real disk: killed again and again, tampered with by hand, sent to a file; and what docs/access/audit.md tells people
 * to type.
 */
import { strict as assert } from 'node:assert'
import { execFile } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { connect, type LockEvent } from '@holdfast/client'
import { decodeIndex } from '../../packages/server/src/audit/archive-index.ts'
import { auditKeysUnder } from '../../packages/server/src/audit/keys.ts'
import { decodeSegment, encodeSegment } from '../../packages/server/src/audit/segment.ts'
import { openLmdb } from '../../packages/server/src/engine/lmdb/lmdb.ts'
import { batchText } from '../../packages/server/src/shards/batch.ts'
import { freePort, temporaryFolder } from '../harness/process.ts'
import { rootKey, type Server, startServer } from '../harness/server.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const page = readFileSync(join(root, 'docs/access/audit.md'), 'utf8')
const folder = temporaryFolder('audit')
const data = join(folder.path, 'data')
const sink = join(folder.path, 'sink.jsonl')
const flags = ['--audit-sink', `file:${sink}?bytes=100000000`]
const keys = auditKeysUnder('holdfast')
let server: Server
let port = 0

const KILLS = 4
const WORKERS = 32
/** So much metadata that the cleaner is at work after some thousand cycles. */
const METADATA_BYTES = 1_900

type Told = {
  id: string
  event?: string
  action: string
  target: string
  token?: number
  subject: string
  from?: string
}

before(async () => {
  mkdirSync(join(folder.path, 'bin'))
  const bin = join(folder.path, 'bin/holdfast')
  writeFileSync(bin, `#!/bin/sh\nexec ${process.execPath} ${join(root, 'packages/cli/bin/holdfast.mjs')} "$@"\n`)
  chmodSync(bin, 0o755)
  port = await freePort()
  server = await startServer({ data, port, flags })
})

after(async () => {
  await server.kill()
  folder.remove()
})

test(`${KILLS} times kill -9 under load: every event that a watcher saw is in the trail exactly once, and in the sink`, async () => {
  const holdfast = connect({ url: server.url, apiKey: rootKey })
  const seen: LockEvent[] = []
  const over = new AbortController()
  const watching = (async () => {
    for await (const event of holdfast.watch({ signal: over.signal }))
      if (event.type !== 'reset') seen.push(event as LockEvent)
  })().catch(() => undefined)
  let isOver = false
  const work = Array.from({ length: WORKERS }, async (_, worker) => {
    for (let cycle = 0; !isOver; cycle++) {
      try {
        const metadata = { text: `${worker}-${cycle}-`.repeat(METADATA_BYTES).slice(0, METADATA_BYTES) }
        const lock = await holdfast.acquire(`load/${worker}`, { metadata } as never)
        await lock.release()
      } catch {
        // Killed in between: what became of it is in the trail or is not, as it happened.
        await sleep(20)
      }
    }
  })
  for (let kill = 0; kill < KILLS; kill++) {
    await fetch(`${server.url}/v1/locks/short%2F${kill}/acquire`, {
      method: 'POST',
      headers: { authorization: `Bearer ${rootKey}`, 'content-type': 'application/json' },
      body: '{"ttl_seconds":1}',
    })
    await sleep(1_500)
    await server.kill()
    server = await startServer({ data, port, flags })
  }
  await until(() => seen.some(({ type }) => type === 'expired'))
  await until(async () => (await archiveBytes()) > 0)
  isOver = true
  await Promise.allSettled(work)
  await sleep(300)
  over.abort()
  await watching
  await holdfast.close()
  const times = new Map<string, number>()
  const all = await trail()
  for (const { id } of all) times.set(id, (times.get(id) ?? 0) + 1)
  const wanted = seen.filter(({ type }) => ['granted', 'released', 'expired'].includes(type))
  assert.ok(wanted.length > 1_000, `only ${wanted.length} events were seen`)
  assert.deepEqual(
    wanted.filter(({ id }) => times.get(id) !== 1).map(({ id, type }) => `${id} ${type} ${times.get(id)}`),
    [],
  )
  assert.ok([...times.values()].every(count => count === 1))
  const last = wanted.at(-1)!.id
  await until(() => readFileSync(sink, 'utf8').includes(`"${last}"`))
  const sent = new Set(
    readFileSync(sink, 'utf8')
      .trim()
      .split('\n')
      .map(line => (JSON.parse(line) as Told).id),
  )
  assert.deepEqual(
    wanted.filter(({ id }) => !sent.has(id)),
    [],
  )
})

test('a record says from where, and in which request', async () => {
  const response = await fetch(`${server.url}/v1/locks/orders%2Fnightly/acquire`, {
    method: 'POST',
    headers: { authorization: `Bearer ${rootKey}`, 'content-type': 'application/json', 'x-request-id': 'mine-1' },
    body: '{"holder":"ann"}',
  })
  assert.equal(response.status, 200)
  const { stdout } = await shell('holdfast audit list --lock orders/nightly --json')
  const [record] = (JSON.parse(stdout) as { records: Record<string, string>[] }).records
  assert.deepEqual(
    [record?.action, record?.subject, record?.from, record?.request_id, record?.holder],
    ['lock.acquire', 'root', '127.0.0.1', 'mine-1', 'ann'],
  )
})

test('each command of the page works', async () => {
  const commands = blocks().flatMap(block => block.trim().split('\n'))
  assert.ok(commands.length >= 11)
  // The page's dates are an example's.
  const today = new Date(Date.now() + 30_000).toISOString()
  for (const command of commands) {
    const typed = command.replace('2026-11-21T06:30:00Z', today).replace('2026-11-21T00:00:00Z', '2020-01-01T00:00:00Z')
    const { stdout, stderr } = await shell(typed)
    if (typed.includes('--at')) assert.match(stdout, /ann held it with token \d+/)
    if (typed.includes('verify')) assert.match(stdout, /none of them touched/)
    if (/export >/.test(typed)) assert.match(stderr, /\d+ records; head [0-9a-f]{64}/)
  }
  const answer = await fetch(`${server.url}/v2/instances/default`, { headers: { authorization: `Bearer ${rootKey}` } })
  const { crn } = (await answer.json()) as { crn: string }
  const text = readFileSync(join(folder.path, 'trail.cadf'), 'utf8').trim()
  for (const line of text.split('\n')) {
    const event = JSON.parse(line) as { observer: { name: string }; logSourceCRN: string; target: { id: string } }
    assert.deepEqual([event.observer.name, event.logSourceCRN], ['ActivityTracker', crn])
    assert.ok(event.target.id.startsWith(crn.slice(0, -2)), event.target.id)
    assert.doesNotMatch(line, /:""/)
  }
})

test('each flag and metric of the page is one', async () => {
  const { settingRows } = await import('../../packages/server/src/config/config.ts')
  const known = new Set(settingRows().map(({ flag }) => flag))
  for (const [, flag = ''] of page.matchAll(/`(--audit-[a-z-]+)/g)) assert.ok(known.has(flag), flag)
  const metrics = await (
    await fetch(`${server.url}/metrics`, { headers: { authorization: `Bearer ${rootKey}` } })
  ).text()
  for (const [, name = ''] of page.matchAll(/`(holdfast_audit_[a-z_]+)`/g)) assert.ok(metrics.includes(name), name)
})

test('an export that was edited, and a store that was edited by hand, are found out', async () => {
  const path = join(folder.path, 'trail.jsonl')
  writeFileSync(path, readFileSync(path, 'utf8').replace('"subject":"root"', '"subject":"toor"'))
  await assert.rejects(shell('holdfast audit verify trail.jsonl'), /line \d+ does not follow/)
  await shell('holdfast audit head > heads.json')
  await server.stop()
  const line = await editArchive()
  server = await startServer({ data, port, flags })
  const failed = await shell('holdfast audit verify --json').then(
    () => null,
    (error: { code: number; stdout: string }) => error,
  )
  assert.ok(failed, 'nothing was found')
  assert.equal(failed.code, 1)
  const { problems } = JSON.parse(failed.stdout) as { problems: { chain: string; seq: number; kind: string }[] }
  assert.deepEqual(
    problems.map(({ chain, seq, kind }) => ({ chain, seq, kind })),
    [{ chain: 'shard 0', seq: line + 2, kind: 'edited' }],
  )
})

/** Changes the holder in the second batch of the first segment; returns the first batch of it. */
async function editArchive(): Promise<number> {
  const engine = await openLmdb({ path: join(data, 'store') })
  try {
    const index = decodeIndex((await engine.read(keys.index(0)))!.value)
    const { first } = index.segments[0]!
    const batches = decodeSegment((await engine.read(keys.segment(0, first)))!.value)!
    batches[1] = Buffer.from(batchText(batches[1]!).replace('"live":', '"live":1'))
    const writes = [{ key: keys.segment(0, first), value: encodeSegment(batches) }]
    assert.equal((await engine.commit({ checks: [], writes })).ok, true)
    return first
  } finally {
    await engine.close()
  }
}

function blocks(): string[] {
  return [...page.matchAll(/^```sh\n(.*?)^```/gms)].map(([, block = '']) => block)
}

function shell(command: string): Promise<{ stdout: string; stderr: string }> {
  const PATH = `${join(folder.path, 'bin')}:${process.env.PATH}`
  const env = {
    ...process.env,
    PATH,
    HOLDFAST_URL: server.url,
    HOLDFAST_API_KEY: rootKey,
    NODE_TEST_CONTEXT: undefined,
  }
  const run = promisify(execFile)('sh', ['-c', command], { cwd: folder.path, env, maxBuffer: 2 ** 28 })
  return run.catch(error => {
    // What it printed says why.
    error.message += `\n${error.stdout}`
    throw error
  })
}

async function trail(): Promise<Told[]> {
  const records: Told[] = []
  for (let start = ''; ; ) {
    const url = `${server.url}/v2/audit?order=oldest&limit=1000${start && `&start=${start}`}`
    const answer = await fetch(url, { headers: { authorization: `Bearer ${rootKey}` } })
    const body = (await answer.json()) as { records: Told[]; next?: { start: string } }
    assert.equal(answer.status, 200, JSON.stringify(body))
    records.push(...body.records)
    if (!body.next) return records
    start = body.next.start
  }
}

async function archiveBytes(): Promise<number> {
  const answer = await fetch(`${server.url}/metrics`, { headers: { authorization: `Bearer ${rootKey}` } })
  return Number(/^holdfast_audit_archive_bytes\{shard="0"\} (\d+)/m.exec(await answer.text())?.[1] ?? 0)
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(50)
}
