/** docs/cluster: every command of every page, typed, on a real cluster with servers under load. */
import { strict as assert } from 'node:assert'
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { connect } from '@holdfast/client'
import { etcdEnvironment, TestCluster } from '../harness/cluster.ts'
import { etcdPrograms } from '../harness/etcd.ts'
import { type Load, startLoad } from '../harness/load.ts'
import { rootKey } from '../harness/server.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const pages = join(root, 'docs/cluster')
const cluster = new TestCluster({})
const here = cluster.folder.path
const running: ChildProcess[] = []
const tried = new Map<string, number>()
let load: Load | null = null

before(() => {
  // What a person has who has installed it.
  const bin = join(here, 'bin')
  mkdirSync(bin)
  const command = join(root, 'packages/cli/bin/holdfast.mjs')
  writeFileSync(join(bin, 'holdfast'), `#!/bin/sh\nexec ${process.execPath} ${command} "$@"\n`)
  chmodSync(join(bin, 'holdfast'), 0o755)
})

after(async () => {
  await load?.stop()
  await cluster.stopServers()
  await Promise.all(running.map(stop))
  await cluster.stop()
})

test('up.md: three members, and servers with the line that is printed', async () => {
  const [up = ''] = blocks('up.md')
  const child = background(up)
  const said = await says(child, /^holdfast serve .*$/m)
  cluster.use(said)
  for (let count = 0; count < 2; count++) await cluster.startServer()
  load = startLoad({ urls: cluster.urls, workers: 4 })
})

test('status.md: all is well', async () => {
  const said = await shell(whole('status.md'))
  assert.match(said, /healthy, 1 more may fail/)
  assert.match(said, /"is_healthy": true/)
})

test('doctor.md: it measures, and says what to change', async () => {
  const [both = ''] = blocks('doctor.md')
  await opened(2_000)
  const asked = both.replaceAll('holdfast doctor', `holdfast doctor --url ${cluster.urls.join(',')}`)
  // Whether this machine is quick enough is no matter of the page.
  const said = await shell(asked.replaceAll('\n', ' || true\n'))
  assert.match(said, /ok +3 members, all well; 1 may fail/)
  assert.match(said, /a commit takes \d+\.\d ms/)
  assert.match(said, /the disk of .* syncs in \d+\.\d ms/)
  for (const member of ['m1', 'm2', 'm3'])
    assert.match(said, new RegExp(`${member} has synced \\d+ times since it started`))
  assert.match(said, /notice +all members run on one machine[^→]*→ For more than a trial/)
  assert.match(said, /ok +2 servers own all 8 shards/)
  assert.match(said, /answers from memory within/)
  assert.match(said, /notice +\S+: of \d+ sessions opened since it started [1-9]\d* have a TTL of [\d.]+ s or less/)
  const { findings } = JSON.parse(said.slice(said.indexOf('{\n'))) as { findings: { level: string; what: string }[] }
  const problems = findings.filter(
    ({ level, what }) => level === 'problem' && !/sync|commit takes|from memory/.test(what),
  )
  assert.deepEqual(problems, [])
})

test('doctor ends with 1 when a server does not answer, and says which', async () => {
  await assert.rejects(
    shell('holdfast doctor --url http://127.0.0.1:1'),
    /PROBLEM +http:\/\/127\.0\.0\.1:1 does not answer/,
  )
})

test('members.md: one more, one less, a new one for an old one', async () => {
  const [add = '', remove = '', replace = ''] = blocks('members.md')
  assert.match(await shell(add), /Added m4/)
  assert.match(await shell(remove), /Removed m1/)
  assert.match(await shell(replace), /Replaced m2 by m1/)
})

test('upgrade.md: another program', async () => {
  const etcd = join(here, 'etcd-new')
  writeFileSync(etcd, `#!/bin/sh\nexec ${etcdPrograms().etcd} "$@"\n`)
  chmodSync(etcd, 0o755)
  const [upgrade = ''] = blocks('upgrade.md')
  assert.match(await shell(upgrade.replace('/opt/etcd-new/etcd', etcd)), /All members of this machine run etcd 3\./)
})

test('space.md: compacted and defragmented', async () => {
  const said = await shell(whole('space.md').replace('compact', 'compact --after 1s'))
  assert.match(said, /Compacted up to revision \d+/)
  assert.match(said, /Defragmented 3 members/)
  assert.match(said, /The database may have 3072\.0 MiB now/)
})

test('certificates.md: new ones, then a new authority in two steps', async () => {
  const before = readFileSync(join(cluster.data, 'ca.pem'), 'utf8')
  const [leaves = '', first = '', second = ''] = blocks('certificates.md')
  assert.match(await shell(leaves), /client\.pem[\s\S]*server\.pem[\s\S]*These are new/)
  assert.match(await shell(first), /believe both authorities/)
  const both = readFileSync(join(cluster.data, 'ca.pem'), 'utf8')
  assert.ok(both.includes(before) && both.length > before.length * 1.5)
  assert.match(await shell(second), /The old authority is forgotten/)
  const now = readFileSync(join(cluster.data, 'ca.pem'), 'utf8')
  assert.ok(!now.includes(before))
  assert.match(await shell('holdfast cluster status'), /healthy/)
})

test('backup.md: by hand and into a folder', async () => {
  const [byHand = '', scheduled = ''] = blocks('backup.md')
  await shell(byHand.replace('/backups', join(here, 'kept')))
  assert.ok(existsSync(join(here, 'before-the-change.db')))
  assert.equal(readdirSync(join(here, 'kept')).length, 1)
  // It is run already; that the options are known is seen by how it is refused.
  await assert.rejects(shell(scheduled), /is run by process \d+ already/)
})

test('through all of this no operation failed', async () => {
  const { failures, overlaps, cycles } = await (load as Load).stop()
  load = null
  assert.deepEqual(failures, [])
  assert.deepEqual(overlaps, [])
  assert.ok(cycles > 100)
})

test('restore.md: a new cluster from the backup', async () => {
  await cluster.stopServers()
  await Promise.all(running.splice(0).map(stop))
  const [restore = '', up = ''] = blocks('restore.md')
  assert.match(await shell(restore), /Every token from now on is larger than \d+/)
  await says(background(up), /^holdfast serve .*$/m)
  await Promise.all(running.splice(0).map(stop))
})

test('machines.md: one machine after the other', async () => {
  const [init = '', up = '', invite = '', join_ = ''] = blocks('machines.md')
  const on = (machine: number, text: string) =>
    text
      .replaceAll('/var/lib/holdfast-cluster', join(here, `machine-${machine}`))
      .replaceAll(/10\.0\.0\.\d/g, '127.0.0.1')
  assert.match(await shell(on(1, init)), /runs it\. Then invite the others/)
  await says(background(on(1, up)), /1 of 1 members/)
  // Two machines may use the same port, and this is one.
  assert.match(await shell(on(1, invite).replace(' --to', ' --port 24690 --to')), /holdfast cluster join m2\.join/)
  await says(background(on(2, join_)), /2 of 2 members/)
  // Each gives way to the other's need of it: the one without a quorum is stopped last.
  for (const child of running.splice(0).reverse()) await stop(child)
})

test('no page has a command that was not tried', () => {
  const untried = readdirSync(pages).flatMap(page => {
    const count = fences(page).length - (tried.get(page) ?? 0)
    return count === 0 ? [] : [`${page}: ${count}`]
  })
  assert.deepEqual(untried, [])
})

function fences(page: string): string[] {
  const text = readFileSync(join(pages, page), 'utf8')
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block = '']) => block)
}

function blocks(page: string): string[] {
  const found = fences(page)
  tried.set(page, found.length)
  return found
}

function whole(page: string): string {
  return blocks(page).join('')
}

/** A session of somebody who wants no longer a time to live. */
async function opened(ttlMs: number): Promise<void> {
  await using holdfast = await connect({ url: cluster.urls, apiKey: rootKey, ttlMs })
  await holdfast.tryAcquire('short')
}

function environment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !/^(HOLDFAST_|NODE_|npm_)/.test(name))
  const path = `${join(here, 'bin')}:${etcdEnvironment().PATH ?? process.env.PATH}`
  return { ...Object.fromEntries(own), PATH: path }
}

function begin(script: string) {
  return spawn('bash', ['-e', '-c', script], { cwd: here, env: environment(), stdio: ['ignore', 'pipe', 'pipe'] })
}

/** Standard output. A command that fails, fails the test. */
async function shell(script: string): Promise<string> {
  const child = begin(script)
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (text: Buffer) => (stdout += text.toString()))
  child.stderr.on('data', (text: Buffer) => (stderr += text.toString()))
  const code = await new Promise<number | null>(resolve => child.once('close', resolve))
  if (code === 0) return stdout
  throw new Error(`${script}\nended with ${code}: ${stdout}${stderr}`)
}

/** A command that stays: in the place of its shell, so that signals reach it. */
function background(script: string): ReturnType<typeof begin> {
  const child = begin(`exec ${script}`)
  running.push(child)
  return child
}

async function says(child: ReturnType<typeof begin>, pattern: RegExp): Promise<string> {
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (said += text.toString()))
  for (let tries = 0; tries < 1_200 && child.exitCode === null; tries++) {
    const match = pattern.exec(said)
    if (match) return match[0]
    await sleep(50)
  }
  throw new Error(`it did not say ${pattern}: ${said}`)
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise(resolve => child.once('close', resolve))
  child.kill('SIGTERM')
  await gone
}
