/** Numbers that come to their end: logs are given counters near it (`record/near-end.ts`), and servers go on from there. */
import { setTimeout as sleep } from 'node:timers/promises'
import { NUMBERS_LEFT_MIN } from '../../../packages/server/src/shards/instance.ts'
import { EPOCH_MAX } from '../../../packages/server/src/shards/ownership.ts'
import { Violation } from '../../checker/judge.ts'
import { startEtcd } from '../../harness/etcd.ts'
import { type Answer, asker } from '../../harness/rest.ts'
import { type Server, startServer } from '../../harness/server.ts'
import { INSTANCE } from '../client/config.ts'
import { bringNearEnd, type NearEnd, NUMBERS_PER_EPOCH, readHeld } from '../record/near-end.ts'
import type { Rig } from '../rig.ts'
import type { Played, PlayOptions, Scenario } from '../scenario.ts'

/** As the server is started without another number. */
const SHARDS = 8
/** Of an epoch, when a server takes it: more than one turn uses; or so many that some are used before it wants another epoch. */
const numbersLeft = [1_000, NUMBERS_LEFT_MIN + 100]
/** Of the last epoch, before the server wants another. */
const GRANTS_LEFT = 20
/** A session, and a few grants. */
const BATCHES_LEFT = 12
const TTL_MS = 60_000
/** More than are left of whatever there is little of. */
const GRANTS_MAX = 200
const ENDS_MS_MAX = 10_000
/** A server looks for an owner for 10 s. */
const ANSWER_MS_MAX = 15_000
const UNAVAILABLE = '503 unavailable'
const SAYS_MS_MAX = 10_000

export const ends: Scenario[] = [
  {
    id: '22',
    name: 'counter at its end',
    does: `the server stops, the log is given a number 1,000 or 2^20 + 100 before the end of the next epoch, and it starts again, over and over, under load`,
    expects: 'the owner raises its epoch; tokens go on rising, none comes twice (I2)',
    // More of them would hand the shard on to each other as they start, and with each hand-over comes an epoch.
    rig: { servers: 1 },
    boundMs: 10_000,
    async strike(rig) {
      while (!rig.isOver) {
        await rig.fault('counter brought near its end', () => rollOver(rig), { isAnsweredDuring: false })
        await rig.pause(2_000, 4_000)
      }
    },
    verify: rolledOver,
  },
  {
    id: '22b',
    name: 'epochs at their end',
    does: `a server takes the last epoch there is (${EPOCH_MAX}) with ${GRANTS_LEFT} numbers left before it wants another, and is asked for grants`,
    expects:
      'it grants while numbers are exact, then ends and says why; started again, it says so and does not open the shard; no token falls or comes twice',
    strike: () => Promise.reject(new Error('it has a rig of its own')),
    play: options =>
      runOut(options, {
        near: {
          epoch: EPOCH_MAX - 1,
          number: epoch => (epoch + 2) * NUMBERS_PER_EPOCH - NUMBERS_LEFT_MIN - GRANTS_LEFT,
        },
        says: /no epochs left/,
        refuses: UNAVAILABLE,
      }),
  },
  {
    id: '22c',
    name: 'batches at their end',
    does: `the log of a shard is given a batch whose number is ${BATCHES_LEFT} before 2^53, and a server is asked for grants`,
    expects:
      'it grants while numbers are exact, then ends and says why, and does so again; nothing that it acknowledged is unreadable',
    strike: () => Promise.reject(new Error('it has a rig of its own')),
    play: options =>
      runOut(options, {
        near: { seq: Number.MAX_SAFE_INTEGER - BATCHES_LEFT },
        says: /no batch numbers left/,
        refuses: null,
      }),
  },
]

/** Nobody may be writing meanwhile. */
async function rollOver(rig: Rig): Promise<void> {
  await Promise.all(rig.servers.map(server => server.stop()))
  await bringNearEnd(rig.etcd.urls, {
    instance: INSTANCE,
    number: epoch => (epoch + 2) * NUMBERS_PER_EPOCH - rig.chance.pick(numbersLeft),
  })
  await Promise.all(rig.servers.map((_, place) => rig.startServer(place)))
}

/** Each time the server has taken the shard, and then one epoch more. */
function rolledOver({ log, faults, measured }: Rig): void {
  const { takeovers } = log.counts
  const rolls = takeovers - SHARDS * (faults.length + 1)
  measured.rolls = rolls
  if (rolls < faults.length)
    throw new Violation(`void: the counter rolled over ${rolls} times, and should ${faults.length} times`)
}

export type RunOut = {
  near: Omit<NearEnd, 'instance'>
  /** What it says when it ends. */
  says: RegExp
  /** How whoever asks it is answered when it has been started again; null: it ends. */
  refuses: string | null
}

/** One server on one member: it is asked for grants until it ends, and started again. */
export async function runOut({ folder, tell }: Pick<PlayOptions, 'folder' | 'tell'>, run: RunOut): Promise<Played> {
  const etcd = await startEtcd({ members: 1 })
  const servers: Server[] = []
  const start = async () => {
    const data = `${folder}/server`
    const server = await startServer({
      data,
      flags: ['--engine', 'etcd', '--etcd', etcd.urls.join(','), '--server-name', 's'],
    })
    servers.push(server)
    return server
  }
  try {
    const before = await start()
    const { tokens: earlier } = await granted(before, 3, 'before')
    await before.stop()
    await bringNearEnd(etcd.urls, { instance: INSTANCE, ...run.near })
    tell('runs out')
    const server = await start()
    const { tokens, refused } = await granted(server, GRANTS_MAX, 'end')
    const code = await Promise.race([server.exited, sleep(ENDS_MS_MAX, 'nothing' as const, { ref: false })])
    const found: string[] = []
    const { held, seq, epoch } = await readHeld(etcd.urls, INSTANCE).catch((error: unknown) => {
      found.push(`I16: what was acknowledged cannot be read: ${error}`)
      return { held: new Map<string, number[]>(), seq: 0, epoch: 0 }
    })
    const all = [...earlier, ...tokens]
    const isRising = all.every((token, place) => Number.isSafeInteger(token) && token > (all[place - 1] ?? 0))
    if (!isRising) found.push(`I2: tokens do not rise: ${all}`)
    if (tokens.length === 0) found.push('void: nothing was granted near the end')
    for (const [place, token] of tokens.entries())
      if (!held.get(lockOf('end', place))?.includes(token))
        found.push(`I16: ${lockOf('end', place)} was granted under ${token}, and is not held`)
    if (code !== 1 || !run.says.test(server.output()))
      found.push(`I2: a server that has run out ended with ${code}: ${server.output().slice(-1_000)}`)
    tell('is started again')
    const again = await start()
    const late = await granted(again, 1, 'again')
    if (late.tokens.length > 0) found.push(`I2: ${late.tokens} was granted when there was nothing left`)
    if (refused !== null && refused !== UNAVAILABLE) found.push(`I18: who asked for more was answered ${refused}`)
    if (late.refused !== run.refuses) found.push(`I18: who asked what was started again was answered ${late.refused}`)
    if (!(await hasSaid(again, run.says))) found.push(`I2: started again, it says ${again.output().slice(-1_000)}`)
    return {
      violations: found.map(what => ({ invariant: /^I\d+/.exec(what)?.[0] ?? 'run', what })),
      counts: { operations: all.length },
      faults: { 'numbers brought near their end': 1 },
      refused: 0,
      nextGrantMs: [],
      details: { granted: tokens.length, seq, epoch, lastToken: tokens.at(-1) ?? 0 },
    }
  } finally {
    await Promise.all(servers.map(server => server.kill()))
    await etcd.stop()
  }
}

const lockOf = (prefix: string, place: number) => `${prefix}/${place}`

async function hasSaid(server: Server, what: RegExp): Promise<boolean> {
  const untilMs = performance.now() + SAYS_MS_MAX
  while (!what.test(server.output()) && performance.now() < untilMs) await sleep(50)
  return what.test(server.output())
}

type Granted = {
  tokens: number[]
  /** How the first that was refused was answered; null: it was not, or there was none. */
  refused: string | null
}

/** One lock after another, until there are so many or the server does not grant. */
async function granted({ url }: Server, count: number, prefix: string): Promise<Granted> {
  const ask = async (path: string, body: object, headers?: Record<string, string>): Promise<Answer | null> =>
    asker(url, AbortSignal.timeout(ANSWER_MS_MAX))('POST', path, body, headers).catch(() => null)
  const tokens: number[] = []
  const refusedBy = (answer: Answer | null) => ({ tokens, refused: answer && `${answer.status} ${codeOf(answer)}` })
  const opened = await ask('/v2/sessions', { ttl_ms: TTL_MS })
  if (opened?.status !== 201 && opened?.status !== 200) return refusedBy(opened)
  const headers = { 'holdfast-session': `${opened.body.session_id}.${opened.body.session_secret}` }
  while (tokens.length < count) {
    const path = `/v2/locks/${encodeURIComponent(lockOf(prefix, tokens.length))}/acquire`
    const answer = await ask(path, {}, headers)
    if (answer?.status !== 200) return refusedBy(answer)
    tokens.push(Number(answer.body.token))
  }
  return { tokens, refused: null }
}

/** Of the first error. */
function codeOf({ body: { errors } }: Answer): unknown {
  const first: unknown = Array.isArray(errors) ? errors[0] : null
  return typeof first === 'object' && first !== null && 'code' in first ? first.code : first
}
