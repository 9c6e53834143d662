/** Whose turn it is on a cluster's directory, also after one that was killed in the middle of its own. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { systemProcesses } from '../shards/processes.ts'
import { ClusterDirectory } from './directory.ts'
import { ClusterBusy } from './failure.ts'
import { remove } from './files.ts'
import { exclusively, runsOperation } from './operation.ts'

let directory: ClusterDirectory
before(() => {
  directory = new ClusterDirectory(mkdtempSync(join(tmpdir(), 'holdfast-operation.')))
})
after(() => remove(directory.path))

/** A process with an operation that takes until it is killed. */
async function startLong(): Promise<ChildProcess> {
  const program = `
    const { exclusively } = await import('${new URL('./operation.ts', import.meta.url)}')
    const { ClusterDirectory } = await import('${new URL('./directory.ts', import.meta.url)}')
    await exclusively(new ClusterDirectory(process.argv[1]), 'holdfast cluster add', () => {
      console.log('begun')
      return new Promise(resolve => setTimeout(resolve, 600_000))
    })`
  const flags = process.execArgv.filter(flag => flag.startsWith('--conditions'))
  const child = spawn(process.execPath, [...flags, '--input-type=module', '-e', program, directory.path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout!, 'data')
  return child
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL')
  await once(child, 'exit')
}

test('while one is at work another is told who; the next one is let in when it was killed', async () => {
  const child = await startLong()
  const message = `\`holdfast cluster add\` is under way (process ${child.pid}): wait until it is done.`
  await assert.rejects(
    exclusively(directory, 'other', async () => assert.fail('both were at work')),
    { name: 'ClusterBusy', message },
  )
  assert.equal(runsOperation(directory), true)
  await kill(child)
  assert.equal(runsOperation(directory), false)
  assert.ok(existsSync(directory.operationFile))
  assert.equal(await exclusively(directory, 'next', async () => 'done'), 'done')
  assert.ok(!existsSync(directory.operationFile))
  assert.equal(statSync(directory.operationLockFile).mode & 0o777, 0o600)
})

test('a mark of somebody who is gone never leads two to work at once, whoever has read it when', async () => {
  let inside = 0
  const turn = () =>
    exclusively(directory, 'replace', async () => {
      inside++
      // As it lies there when somebody else has read the mark of before, and acts on it only now.
      writeFileSync(
        directory.operationFile,
        JSON.stringify({ what: 'add', process: { ...systemProcesses.own(), processStart: '1' } }),
      )
      await assert.rejects(
        exclusively(directory, 'replace', async () => {
          inside++
        }),
        ClusterBusy,
      )
    })
  await turn()
  assert.equal(inside, 1)
})

test('a mark that was cut short keeps nobody out', async () => {
  writeFileSync(directory.operationFile, '{"what":')
  assert.equal(runsOperation(directory), false)
  assert.equal(await exclusively(directory, 'next', async () => 'done'), 'done')
})
