/** Who runs a cluster's directory: one process, also when two come at once to what a third has left. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../clock.ts'
import { factsOfProcess } from '../shards/processes.ts'
import { ClusterDirectory } from './directory.ts'
import { ClusterFailure } from './failure.ts'
import { remove } from './files.ts'
import { Runner, runningIn } from './running.ts'

let folder: string
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-running.'))
})
after(() => remove(folder))

function make(name: string): ClusterDirectory {
  const directory = new ClusterDirectory(join(folder, name))
  directory.create({ token: 'test', quotaBytes: 1, root: 'holdfast', members: [] })
  return directory
}

function runnerOf(directory: ClusterDirectory, said: (text: string) => void = () => undefined): Runner {
  return new Runner({ directory, clock: systemClock, said })
}

/** A directory with members of a program that does this. */
function makeWith(name: string, { script, members }: { script: string; members: string[] }) {
  const etcd = join(folder, `${name}-etcd`)
  writeFileSync(etcd, `#!/bin/sh\nif [ "$1" = --version ]; then echo "etcd Version: 3.5.21"; exit 0; fi\n${script}\n`)
  chmodSync(etcd, 0o755)
  const directory = make(name)
  const start = { state: 'new' as const, initialCluster: '' }
  const plan = { host: '127.0.0.1', clientPort: 1, peerPort: 2, etcd, generation: 1, start }
  directory.change(cluster => ({ ...cluster, members: members.map(member => ({ ...plan, name: member })) }))
  return { directory, etcd }
}

/** What runs, with its generation. */
function generations(directory: ClusterDirectory): string {
  const members = runningIn(directory)?.members.filter(({ process: facts }) => facts !== null) ?? []
  return members
    .map(({ name, generation }) => `${name} ${generation}`)
    .sort()
    .join()
}

async function until(look: () => boolean): Promise<void> {
  for (let tries = 0; tries < 200 && !look(); tries++) await sleep(50)
  assert.ok(look())
}

test('of two that find the members of one that was killed, one runs them and the other is told who', async () => {
  const directory = make('two')
  const orphan = spawn('sleep', ['60'])
  const gone = { ...factsOfProcess(process.pid), processStart: '1' }
  const member = { name: 'm1', generation: 1, etcd: 'etcd', process: factsOfProcess(orphan.pid ?? 0), restarts: 0 }
  writeFileSync(directory.runningFile, JSON.stringify({ process: gone, members: [member] }))
  const runners = [runnerOf(directory), runnerOf(directory)]
  const ended = await Promise.allSettled(runners.map(runner => runner.start()))
  orphan.kill('SIGKILL')
  const refusals = ended.flatMap(end => (end.status === 'rejected' ? [end.reason as unknown] : []))
  assert.equal(refusals.length, 1)
  assert.ok(refusals[0] instanceof ClusterFailure)
  assert.match(refusals[0].message, new RegExp(`is run by process ${process.pid} already`))
  assert.equal(runningIn(directory)?.process.pid, process.pid)
  const [loser, winner] = ended[0]?.status === 'rejected' ? runners : runners.toReversed()
  await loser?.close()
  assert.equal(runningIn(directory)?.process.pid, process.pid)
  await assert.rejects(runnerOf(directory).start(), /is run by process/)
  await winner?.close()
  assert.ok(!existsSync(directory.runningFile))
})

test('who ends lets the next one run, and so does who could not start', async () => {
  const directory = make('next')
  const first = runnerOf(directory)
  await first.start()
  assert.equal(statSync(join(directory.path, 'holder.lock')).mode & 0o777, 0o600)
  await first.close()
  const start = { state: 'new' as const, initialCluster: '' }
  const plan = { name: 'm1', host: '127.0.0.1', clientPort: 1, peerPort: 2, etcd: '/nowhere', generation: 1, start }
  directory.change(cluster => ({ ...cluster, members: [plan] }))
  await assert.rejects(runnerOf(directory).start(), /There is no \/nowhere/)
  directory.change(cluster => ({ ...cluster, members: [] }))
  const next = runnerOf(directory)
  await next.start()
  await next.close()
})

test('who ends leaves what another process has written down', async () => {
  const directory = make('other')
  const runner = runnerOf(directory)
  await runner.start()
  const other = JSON.stringify({ process: factsOfProcess(process.ppid), members: [] })
  writeFileSync(directory.runningFile, other)
  await runner.close()
  assert.equal(readFileSync(directory.runningFile, 'utf8'), other)
})

test('a plan that cannot be carried out is tried until it can be, is said once, and keeps no other member waiting', async () => {
  const { directory, etcd } = makeWith('again', { script: 'exec sleep 60', members: ['m1', 'm2'] })
  const other = `${etcd}-other`
  writeFileSync(other, readFileSync(etcd))
  chmodSync(other, 0o755)
  const said: string[] = []
  const runner = runnerOf(directory, text => said.push(text))
  await runner.start()
  try {
    renameSync(etcd, `${etcd}.away`)
    const change = (name: string) => (name === 'm2' ? { etcd: other } : {})
    directory.change(cluster => ({
      ...cluster,
      members: cluster.members.map(member => ({ ...member, generation: 2, ...change(member.name) })),
    }))
    await until(() => generations(directory) === 'm2 2')
    await sleep(1_500)
    renameSync(`${etcd}.away`, etcd)
    await until(() => generations(directory) === 'm1 2,m2 2')
    assert.equal(said.filter(text => text.startsWith('the plan cannot be carried out')).length, 1, said.join('\n'))
  } finally {
    await runner.close()
  }
})

test('members are run, also while nothing can be written down; that is said once, and done later', async () => {
  const { directory } = makeWith('full', { script: 'sleep 0.5; exit 1', members: ['m1'] })
  const said: string[] = []
  const runner = runnerOf(directory, text => said.push(text))
  await runner.start()
  const kept = `${directory.runningFile}.kept`
  try {
    // Nothing can take the place of a folder, as nothing can be written on a full disk; nor can anything be made below a file.
    renameSync(directory.runningFile, kept)
    mkdirSync(directory.runningFile)
    writeFileSync(join(directory.path, 'started'), '')
    mkdirSync(join(directory.file('m1', 'data'), 'member'), { recursive: true })
    await until(() => said.filter(text => text.includes('m1 ended with 1')).length === 2)
    for (const text of ['which members run cannot be written down', 'that m1 has had data cannot be written down'])
      assert.equal(said.filter(one => one.startsWith(text)).length, 1, said.join('\n'))
  } finally {
    remove(directory.runningFile)
    renameSync(kept, directory.runningFile)
    remove(join(directory.path, 'started'))
  }
  await until(
    () => (runningIn(directory)?.members[0]?.restarts ?? 0) > 0 && existsSync(join(directory.path, 'started')),
  )
  await runner.close()
})
