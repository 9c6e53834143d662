/** A process of `second-process.test.ts`: opens the directory, says what it found, and acquires locks until it is killed. */
import { systemClock } from '../clock.ts'
import { openLmdb } from '../engine/lmdb/lmdb.ts'
import type { Command } from '../locks/model.ts'
import { systemRandom } from '../random.ts'
import type { Answer } from './port.ts'
import { openShards } from './shards.ts'
import { acquireOf, tokenOf } from './testing.ts'

const [, , path = '', mode = 'hold', round = '0'] = process.argv
const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`)

try {
  await main()
} catch (error) {
  if (!(error instanceof Error)) throw error
  say({ error: error.name, message: error.message })
}

async function main(): Promise<void> {
  const engine = await openLmdb({ path })
  const fatal = (error: Error) => {
    say({ error: error.name, message: error.message })
    process.exit(1)
  }
  const config = { root: 'holdfast', name: 'test', address: '127.0.0.1:1', shards: 1, fatal }
  const shards = await openShards({ engine, clock: systemClock, random: systemRandom, config })
  const ask = (command: Command) =>
    new Promise<Answer>((answer, fail) => shards.submit('main', command, { answer, fail }))
  const opened = await ask({ type: 'open_session', by: 'test', ttlMs: 60_000, labels: null })
  if (!opened.ok || opened.type !== 'session') throw new Error('no session')
  const session = opened.session.id
  if (mode === 'hold') return void say({ token: tokenOf(await ask(acquireOf(session, 'a', { request: 1 }))) })
  const listed = await ask({ type: 'list', by: 'test', prefix: 'load/', after: null, limit: 100_000 })
  if (!listed.ok || listed.type !== 'locks') throw new Error('no list')
  say({ held: Object.fromEntries(listed.locks.map(({ lock, grants }) => [lock, grants[0]?.token])) })
  // Fewer than one session may hold; it is killed long before.
  for (let step = 0; step < 900; step++) {
    const lock = `load/${round}/${step}`
    say({ lock, token: tokenOf(await ask(acquireOf(session, lock, { request: step + 1 }))) })
  }
}
