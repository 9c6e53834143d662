/** Who runs a cluster's directory: one process, also when two come at once to what a third has left. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
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

function runnerOf(directory: ClusterDirectory): Runner {
  return new Runner({ directory, clock: systemClock, said: () => undefined })
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
