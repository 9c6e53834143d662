/** The real `holdfast` command as a child process. */
import { type ChildProcess, spawn } from 'node:child_process'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { rootKey } from './server.ts'

export const bin = fileURLToPath(new URL('../../packages/cli/bin/holdfast.mjs', import.meta.url))

export type Ended = { code: number | null; signal: string | null; stdout: string; stderr: string }
export type Cli = {
  child: ChildProcess
  stdout(): string
  stderr(): string
  ended: Promise<Ended>
  /** Resolves when standard output has matched. */
  says(pattern: RegExp): Promise<RegExpMatchArray>
}

export function startCli(
  args: readonly string[],
  { url, input, env, cwd = tmpdir() }: { url: string; input?: string; env?: NodeJS.ProcessEnv; cwd?: string },
): Cli {
  const child = spawn(process.execPath, [bin, ...args], {
    cwd,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, HOLDFAST_URL: url, HOLDFAST_API_KEY: rootKey, NODE_TEST_CONTEXT: undefined, ...env },
  })
  const output = { stdout: '', stderr: '' }
  const looks = new Set<() => void>()
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (data: Buffer) => {
      output[name] += data.toString()
      for (const look of [...looks]) look()
    })
  }
  child.stdin.end(input ?? '')
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal, ...output }))
  })
  const says = (pattern: RegExp) =>
    new Promise<RegExpMatchArray>((resolve, reject) => {
      const look = () => {
        const match = pattern.exec(output.stdout)
        if (!match) return
        looks.delete(look)
        resolve(match)
      }
      looks.add(look)
      look()
      ended.then(end => reject(new Error(`ended with ${JSON.stringify(end)} without saying ${pattern}`)), reject)
    })
  return { child, stdout: () => output.stdout, stderr: () => output.stderr, ended, says }
}

export async function cli(
  args: readonly string[],
  options: { url: string; input?: string; env?: NodeJS.ProcessEnv; cwd?: string },
): Promise<Ended> {
  return startCli(args, options).ended
}
