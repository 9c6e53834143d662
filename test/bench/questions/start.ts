/** How long from `npm start` until the service answers, when everything is installed and the data is there? */
import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { root } from '../../../scripts/node.mjs'
import { freePort, temporaryFolder } from '../../harness/process.ts'
import { median } from '../measure.ts'
import type { Report } from '../report.ts'

const SECONDS_MAX = 3
const LOOK_MS = 10

export async function start({ isQuick }: { isQuick: boolean }): Promise<Report> {
  const folder = temporaryFolder('bench')
  const port = await freePort()
  const seconds: number[] = []
  // The first makes the folder, and is not the question.
  for (let round = 0; round <= (isQuick ? 1 : 5); round++) seconds.push(await secondsToAnswer(port, folder.path))
  folder.remove()
  const [, ...again] = seconds
  const value = median(again)
  return {
    question: 'The second start',
    about: 'From `npm start` until /readyz answers 200, by npm, from the sources, on a data folder that is there.',
    rows: [{ name: 'start', value, unit: 's', spread: [Math.min(...again), Math.max(...again)] }],
    verdicts: [{ claim: 'seconds', value, target: `< ${SECONDS_MAX}`, isMet: value < SECONDS_MAX }],
  }
}

async function secondsToAnswer(port: number, data: string): Promise<number> {
  const began = performance.now()
  const args = ['start', '--', '--listen', `127.0.0.1:${port}`, '--data', data, '--log-level', 'warn']
  const started = spawn('npm', args, { cwd: root, stdio: 'ignore' })
  const ended = new Promise(resolve => started.once('close', resolve))
  while ((await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null))?.status !== 200) {
    if (started.exitCode !== null) throw new Error(`npm start ended with ${started.exitCode}`)
    await sleep(LOOK_MS)
  }
  const seconds = (performance.now() - began) / 1_000
  started.kill('SIGTERM')
  await ended
  // npm goes first.
  while (await fetch(`http://127.0.0.1:${port}/livez`).catch(() => null)) await sleep(LOOK_MS)
  return seconds
}
