/** Somebody's command that keeps a key. What it prints is a secret: it is in no message and no log. */
import { spawn } from 'node:child_process'
import type { Clock } from '../../clock.ts'
import { KeyUnavailable } from './failures.ts'

/** A key service across the network answers in a second; a person who has to be asked for a PIN is not waited for. */
const COMMAND_MS_MAX = 30_000
const OUTPUT_BYTES_MAX = 64 * 1024
/** Of the server's settings and of the command line's. */
const SECRET_PATTERN = /^HOLDFAST_.*(KEY|PASSWORD|SECRET|TOKEN)$/

type Run = { what: string; command: string; input: string; environment: Record<string, string>; clock: Clock }

/** What the command prints, without the white space around it. Its errors go where ours go. @throws KeyUnavailable */
export function runCommand({ what, command, input, environment, clock }: Run): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (why: string) => reject(new KeyUnavailable(`The ${what} command ${why}.`))
    const child = spawn(command, {
      shell: true,
      // A group of its own, so that what it has started ends with it.
      detached: process.platform !== 'win32',
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...ownEnvironment(), ...environment },
    })
    const end = () => {
      if (child.pid === undefined || child.exitCode !== null) return
      if (process.platform === 'win32') child.kill('SIGKILL')
      else process.kill(-child.pid, 'SIGKILL')
    }
    const stopTimer = clock.after(COMMAND_MS_MAX, () => {
      end()
      fail(`did not answer within ${COMMAND_MS_MAX} ms`)
    })
    let output = Buffer.alloc(0)
    child.stdout.on('data', (more: Buffer) => {
      output = Buffer.concat([output, more])
      if (output.length <= OUTPUT_BYTES_MAX) return
      end()
      fail(`printed more than ${OUTPUT_BYTES_MAX} bytes`)
    })
    // It need not read what it is given.
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
    child.once('error', error => {
      stopTimer()
      fail(`cannot be run: ${error.message}`)
    })
    child.once('close', (code, signal) => {
      stopTimer()
      if (code === 0) resolve(output.toString('utf8').trim())
      else fail(`ended with ${code ?? signal}`)
    })
  })
}

/** Without our own secrets, which are none of its business. */
function ownEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !SECRET_PATTERN.test(name)))
}
