/** `npm run check`: format and lint, types, generated files, then every test. Stops at the first that fails. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { nodeFlags } from './node.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const bin = (name: string) => `${root}node_modules/.bin/${name}`
const steps: { name: string; command: string; args: string[] }[] = [
  { name: 'format and lint', command: bin('biome'), args: ['check', '--error-on-warnings'] },
  { name: 'types', command: bin('tsc'), args: ['--build'] },
  { name: 'types of tests, scripts and examples', command: bin('tsc'), args: ['--project', 'test'] },
  { name: 'generated files', command: process.execPath, args: [...nodeFlags, `${root}scripts/generate.ts`, '--check'] },
  { name: 'tests', command: process.execPath, args: [...nodeFlags, `${root}scripts/test.ts`] },
]

for (const { name, command, args } of steps) {
  console.log(`— ${name}`)
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  if (status !== 0) {
    console.error(`${name}: failed`)
    process.exit(status ?? 1)
  }
}
