/** A program of etcd's that does one thing and ends. */
import { execFile } from 'node:child_process'
import { basename } from 'node:path'
import { ClusterFailure, ClusterStopped } from './failure.ts'

const OUTPUT_BYTES_MAX = 16 * 1024 * 1024

/** What it printed. @throws ClusterFailure with what it complained of; ClusterStopped when the signal is given. */
export function run(program: string, args: string[], signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { signal, maxBuffer: OUTPUT_BYTES_MAX }, (error, stdout, stderr) => {
      if (!error) return resolve(stdout)
      if (signal.aborted) return reject(new ClusterStopped('Stopped as asked.'))
      const complaint = stderr.trim().split('\n').at(-1) || error.message
      reject(new ClusterFailure(`\`${basename(program)} ${args.slice(0, 2).join(' ')}\` failed: ${complaint}`))
    })
  })
}
