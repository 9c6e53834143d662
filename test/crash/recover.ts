/** One crash: the files as the disk has left them, opened by the real engine, read by the real recovery, and asked as a client would ask. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Clock, systemClock } from '../../packages/server/src/clock.ts'
import type { Engine } from '../../packages/server/src/engine/engine.ts'
import { openLmdb } from '../../packages/server/src/engine/lmdb/lmdb.ts'
import type { Command } from '../../packages/server/src/locks/model.ts'
import { systemRandom } from '../../packages/server/src/random.ts'
import type { Answer, Shards } from '../../packages/server/src/shards/port.ts'
import { openShards } from '../../packages/server/src/shards/shards.ts'
import { Violation } from '../checker/judge.ts'
import { chanceOf } from '../simulator/chance.ts'
import { imageAt } from './disk.ts'
import { compare, digestOf, type Held, type Told, toldBefore } from './expected.ts'
import type { Point } from './points.ts'
import type { Recording } from './recording.ts'

export const ROOT = 'crash'
/** A new owner looks every 100 ms whether the one before has gone. Here it has, and nothing is measured in time. */
const clock: Clock = {
  hrtimeMs: () => systemClock.hrtimeMs(),
  bootMs: () => systemClock.bootMs(),
  wallMs: () => systemClock.wallMs(),
  after: (delayMs, callback) => systemClock.after(delayMs / 50, callback),
  afterPoll: callback => systemClock.afterPoll(callback),
}
const KEYS_MAX = 10_000
const LOCKS_MAX = 100_000

/** Digests until the first power cut of the load, and since each. */
export type Prepared = { recording: Recording; digests: string[][] }

/** Returns the revision that the store is at. @throws `Violation` when what it has come back to is not what was promised. */
export async function recoverAt({ recording, digests }: Prepared, point: Point, folder: string): Promise<number> {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  const chance = chanceOf(point.seed, `${point.kind} ${point.cut}`)
  for (const [name, bytes] of imageAt(recording, { ...point, chance })) writeFileSync(join(folder, name), bytes)
  // It lies on the disk too, with whatever the readers of its time have left in it.
  if (chance.isLuckyAt(0.5)) writeFileSync(join(folder, 'lock.mdb'), recording.readers)
  const told = toldBefore(recording.events, point.cut)
  const engine = await opened(folder)
  try {
    const cuts = recording.events.slice(0, point.cut).filter(({ type }) => type === 'restored')
    const revision = await contentOf(engine, { told, digests: digests[cuts.length]! })
    await ask(engine, told)
    return revision
  } finally {
    await engine.close()
  }
}

async function opened(path: string): Promise<Engine> {
  try {
    return await openLmdb({ path })
  } catch (error) {
    throw new Violation(`I16: the store cannot be opened: ${error instanceof Error ? error.message : error}`)
  }
}

/** It is the store after one of its commits, whole, and none that was answered for is missing. */
async function contentOf(engine: Engine, { told, digests }: { told: Told; digests: string[] }): Promise<number> {
  const { pairs, revision } = await engine.list({ prefix: ROOT, limit: KEYS_MAX })
  if (revision < told.revision) throw new Violation(`I16: ${told.revision} was answered for, and ${revision} is left`)
  if (digestOf(pairs) !== digests[revision]) throw new Violation(`I20: the store is not what commit ${revision} made`)
  return revision
}

async function ask(engine: Engine, told: Told): Promise<void> {
  let isFatal: Error | null = null
  const shards = await openShards({
    engine,
    clock,
    random: systemRandom,
    config: {
      ...{ root: ROOT, name: 'server', address: '127.0.0.1:1', shards: 1 },
      fatal: error => {
        isFatal = error
      },
      // The machine has been started anew: whoever had the store is gone.
      processes: {
        own: () => ({ pid: 1, bootId: null, pidNamespace: null, processStart: null }),
        stateOf: () => 'gone',
      },
    },
  }).catch((error: unknown) => {
    throw new Violation(`I20: the log cannot be recovered: ${error instanceof Error ? error.message : error}`)
  })
  try {
    const held = await heldIn(shards)
    compare(told, { held, sessions: await sessionsIn(shards, told) })
    await next(shards, [...told.granted.keys(), ...held.map(({ token }) => token)])
    if (isFatal) throw new Violation(`I20: the server ended: ${isFatal}`)
  } finally {
    await shards.close()
  }
}

async function heldIn(shards: Shards): Promise<Held[]> {
  const listed = await submit(shards, { type: 'list', by: 'crash', prefix: '', after: null, limit: LOCKS_MAX })
  if (!listed.ok || listed.type !== 'locks') throw new Error(`no list: ${JSON.stringify(listed)}`)
  return listed.locks.flatMap(({ grants }) => grants.map(({ lock, token, session }) => ({ lock, token, session })))
}

async function sessionsIn(shards: Shards, told: Told): Promise<Set<string>> {
  const known = [...told.opened]
  const found = await Promise.all(known.map(session => submit(shards, { type: 'show_session', by: 'crash', session })))
  return new Set(known.filter((_, place) => found[place]?.ok))
}

/** Whoever comes after gets a token that nobody has had. */
async function next(shards: Shards, tokens: readonly number[]): Promise<void> {
  const opened = await submit(shards, { type: 'open_session', by: 'crash', ttlMs: 60_000, labels: null })
  if (!opened.ok || opened.type !== 'session') throw new Violation('I16: no session can be opened')
  const granted = await submit(shards, {
    ...{ type: 'acquire', by: 'crash', session: opened.session.id, request: 1, waitMs: 0, priority: 0 },
    claims: [{ lock: 'next', mode: 'exclusive', permits: 1, limit: 0, maxHoldMs: null, lockDelayMs: null }],
    ...{ preempt: 'never', isReentrant: false, task: '', labels: null, metadata: null, value: null },
  })
  if (!granted.ok || granted.type !== 'granted') throw new Violation('I16: a lock that nobody holds is not granted')
  const { token } = granted.grants[0]!
  const before = tokens.find(other => other >= token)
  if (before !== undefined) throw new Violation(`I2: token ${token} comes after ${before}`)
}

function submit(shards: Shards, command: Command): Promise<Answer> {
  return new Promise((answer, fail) => void shards.submit('main', command, { answer, fail }))
}
