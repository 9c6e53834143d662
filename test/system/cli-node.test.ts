/** The command of the package, laid out as it is published, on a Node that it needs and on one that is older. */
import { strict as assert } from 'node:assert'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { parse } from 'acorn'
import { bin } from '../harness/cli.ts'
import { temporaryFolder } from '../harness/process.ts'

const folder = temporaryFolder('cli-node')

after(() => folder.remove())

/** Runs the command of a package that needs this Node. What was built is a line that says it has been run. */
function runOn(needed: string, ...args: string[]) {
  for (const part of ['bin', 'dist']) mkdirSync(join(folder.path, part), { recursive: true })
  const command = join(folder.path, 'bin', 'holdfast.mjs')
  cpSync(bin, command)
  writeFileSync(join(folder.path, 'package.json'), JSON.stringify({ type: 'module', engines: { node: needed } }))
  writeFileSync(join(folder.path, 'dist', 'main.js'), 'export const main = async args => console.log("ran", ...args)')
  const { status, stdout, stderr } = spawnSync(process.execPath, [command, ...args], { encoding: 'utf8' })
  return { status, stdout, stderr }
}

test('a Node that is too old is told at once which one is needed', () => {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  for (const needed of [`${major + 1}.0`, `${major}.${minor + 1}`]) {
    const { status, stdout, stderr } = runOn(`>=${needed}`, 'list')
    assert.deepEqual([status, stdout], [124, ''])
    assert.equal(
      stderr,
      `holdfast: This needs Node ${needed} or newer, and this is ${process.version} (${process.execPath}).\n`,
    )
  }
  for (const needed of [`${major}.${minor}`, `${major - 1}.${minor + 1}`]) {
    assert.deepEqual(runOn(`>=${needed}`, 'list', '--json'), { status: 0, stdout: 'ran list --json\n', stderr: '' })
  }
})

test('an old Node can read the command as far as to say so', () => {
  // What came later than 2020, like `await` at the top, is an error of syntax there.
  parse(readFileSync(bin, 'utf8'), { ecmaVersion: 2020, sourceType: 'module', allowHashBang: true })
})
