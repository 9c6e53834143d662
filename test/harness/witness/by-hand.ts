/** Clients that know nothing of the library: REST, any server of the list, and no more care than a script would take. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, asker } from '../rest.ts'
import type { Judge } from './judge.ts'

const ANSWER_MS_MAX = 15_000
const AGAIN_MS = 100

/** Asks one server after another until one answers with what is not 503. */
export class Anybody {
  readonly #urls: readonly string[]
  #place = 0

  constructor(urls: readonly string[]) {
    this.#urls = urls
  }

  async ask(method: string, path: string, body?: object, headers?: Record<string, string>): Promise<Answer> {
    for (;;) {
      const url = this.#urls[this.#place % this.#urls.length]!
      const answer = await Promise.race([
        asker(url)(method, path, body, headers).catch(() => null),
        sleep(ANSWER_MS_MAX, null, { ref: false }),
      ])
      if (answer && answer.status !== 503) return answer
      this.#place++
      await sleep(AGAIN_MS)
    }
  }
}

export type Grant = {
  name: string
  session: string
  token: number
  ttlMs: number
  /** By the wall clock: before the last request was sent that conferred time on it. */
  askedAt: number
}

/** A lock that is held for as long as its session's TTL, if nobody renews it. */
export async function holdByHand(anybody: Anybody, name: string, ttlMs: number): Promise<Grant> {
  const opened = await anybody.ask('POST', '/v2/sessions', { ttl_ms: ttlMs })
  const session = `${opened.body.session_id}.${opened.body.session_secret}`
  const askedAt = Date.now()
  const granted = await anybody.ask(
    'POST',
    `/v2/locks/${encodeURIComponent(name)}/acquire`,
    {},
    { 'holdfast-session': session },
  )
  if (granted.status !== 200) throw new Error(`${name} was not granted: ${JSON.stringify(granted)}`)
  return { name, session, token: Number(granted.body.token), ttlMs, askedAt }
}

/** Renews it every so often until it is over, or ends the session; that the session is gone is a violation. */
export async function renewByHand(
  { judge, isOver }: { judge: Judge; isOver(): boolean },
  anybody: Anybody,
  grant: Grant,
): Promise<void> {
  const [id = ''] = grant.session.split('.')
  while (!isOver()) {
    const { status, body } = await anybody.ask(
      'POST',
      `/v2/sessions/${id}/renew`,
      {},
      { 'holdfast-session': grant.session },
    )
    if (status !== 200) {
      judge.violated(`${grant.name}: a renewal was answered ${status} ${JSON.stringify(body)}`)
      return
    }
    await sleep(grant.ttlMs / 5)
  }
  const { body } = await anybody.ask('GET', `/v2/locks/${encodeURIComponent(grant.name)}`)
  if (body.token !== grant.token)
    judge.violated(`${grant.name}: it was renewed all the time, and ${grant.token} has become ${body.token}`)
}
