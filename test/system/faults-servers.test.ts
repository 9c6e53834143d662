/** Faults of servers, under load, over real etcd: nothing that was promised is broken, and whoever was struck is served again soon. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, type Ask, asker } from '../harness/rest.ts'
import type { Grant } from '../harness/witness/by-hand.ts'
import { underFaults } from '../harness/witness/faults.ts'
import { ownerOf } from '../harness/witness/owner.ts'

test('kill -9 of the server that decides, and of one that does not: served again, nothing lost', () =>
  underFaults('kill -9 of an owner', async ({ servers, witness, bound }) => {
    const place = await ownerOf(servers)
    const line = await witness.line()
    const idle = await witness.idle(4_000)
    const mark = witness.figures.mark()
    const killedAt = Date.now()
    await servers.all[place]!.kill()
    bound('served again after', { ms: await witness.served(mark), boundMs: 3_000 })
    await witness.endsByItself(idle, killedAt + idle.ttlMs)
    await line.serve()
    await servers.start(place)
    await servers.spread(3)
    // One that only forwards.
    const other = ((await ownerOf(servers)) + 1) % 3
    const second = witness.figures.mark()
    await servers.all[other]!.kill()
    bound('of a server that does not decide: served again after', { ms: await witness.served(second), boundMs: 3_000 })
    await servers.start(other)
    await servers.spread(3)
  }))

test('all servers restarted one after another: nothing fails, nothing is lost', () =>
  underFaults('rolling restart', async ({ servers, witness, bound }) => {
    const line = await witness.line()
    const fromMs = performance.now()
    // Longer than lies between two hand-overs: else it may end, as it should, before the last of them.
    const idle = await witness.idle(12_000)
    let handedOverAt = Date.now()
    for (const place of servers.all.keys()) {
      if (place === (await ownerOf(servers))) handedOverAt = Date.now()
      assert.equal(await servers.all[place]!.stop(), 0, servers.all[place]!.output())
      await servers.start(place)
      await servers.spread(3)
    }
    await witness.served(witness.figures.mark())
    bound('p99 of all operations', { ms: witness.figures.latencies(fromMs).p99, boundMs: 1_000 })
    await witness.endsByItself(idle, handedOverAt + idle.ttlMs)
    await line.serve()
  }))

const STOPPED_MS = 10_000
/** No bound of the issue: its connections stay open, so its clients have to find out by themselves that nothing comes. */
const SILENT_MS = 9_000

test('a server that is stopped for ten seconds and goes on decides nothing that is not its to decide', () =>
  underFaults('SIGSTOP of an owner', async ({ servers, witness, bound }) => {
    const place = await ownerOf(servers)
    const stopped = servers.all[place]!
    const line = await witness.line()
    const grant = await witness.idle(2_000)
    const register = witness.judge.registerOf(grant.name)
    assert.ok(register.write(grant.token))
    const mark = witness.figures.mark()
    const stoppedAt = Date.now()
    stopped.child.kill('SIGSTOP')
    const zombie = new Zombie(stopped.url, grant)
    // Half of what it will find when it wakes was asked before anybody had taken over.
    zombie.ask() // it lies in the socket of a process that does not run
    bound('served again after', { ms: await witness.served(mark), boundMs: SILENT_MS })
    await witness.endsByItself(grant, stoppedAt + grant.ttlMs)
    const next = await witness.again(grant.name)
    assert.ok(next.token > grant.token)
    assert.ok(register.write(next.token))
    zombie.ask()
    // Whoever decides now is asked the same, and says no to each.
    const elsewhere = new Zombie(servers.all.find(server => server !== stopped)!.url, grant)
    elsewhere.ask()
    assert.ok((await elsewhere.judge()).every(answer => answer !== null))
    await sleep(Math.max(0, stoppedAt + STOPPED_MS - Date.now()))
    stopped.child.kill('SIGCONT')
    zombie.ask()
    // It was declared dead, and finds that out with its first beat.
    assert.equal(await stopped.exited, 1, stopped.output())
    assert.match(stopped.output(), /declared dead/)
    await zombie.judge()
    assert.equal(register.write(grant.token), false, 'a late write of the old holder is refused')
    await servers.start(place)
    await servers.spread(3)
    await line.serve()
  }))

/** Somebody who asks one server, and has a grant that the one that was stopped gave. */
class Zombie {
  readonly #ask: Ask
  readonly #grant: Grant
  readonly #answers: Promise<{ what: string; answer: Answer | null }>[] = []

  constructor(url: string, grant: Grant) {
    this.#ask = asker(url)
    this.#grant = grant
  }

  ask(): void {
    const { name, session, token } = this.#grant
    const path = `/v2/locks/${encodeURIComponent(name)}`
    const [id] = session.split('.')
    const headers = { 'holdfast-session': session }
    const requests: [string, string, object][] = [
      ['POST', `${path}/validate`, { token }],
      ['POST', `/v2/sessions/${id}/renew`, {}],
      ['POST', `${path}/value`, { token, value: 'late' }],
      ['POST', `${path}/acquire`, { wait_ms: 0 }],
    ]
    for (const [method, url, body] of requests) {
      const answered = this.#ask(method, url, body, headers).catch(() => null)
      this.#answers.push(answered.then(answer => ({ what: `${method} ${url}`, answer })))
    }
  }

  /** No answer, or one that is true now: the session has ended, and the lock is another's. */
  async judge(): Promise<(Answer | null)[]> {
    const answers = await Promise.all(this.#answers)
    for (const { what, answer } of answers)
      assert.ok(answer === null || answer.status >= 400, `${what} was answered ${JSON.stringify(answer)}`)
    return answers.map(({ answer }) => answer)
  }
}
