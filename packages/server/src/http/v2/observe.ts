import { v2 } from '@holdfast/protocol/v2'
import { type Call, route } from '../call.ts'
import { type EventStream, streamEvents } from '../sse.ts'
import { electionOf } from './election.ts'

/**
 * Events do not carry values, so after each one the leader is looked up and sent. Look-ups that pile up become one: what counts
 * is the newest.
 */
export const observe = route(v2.observe, async call => {
  const leaders = new LeaderLookup(call, call.params.name)
  return streamEvents(call, { name: call.params.name }, call.query.cursor, (stream, event) =>
    leaders.changed(stream, event?.id),
  )
})

class LeaderLookup {
  readonly #call: Call
  readonly #name: string
  #isUnderWay = false
  #isStale = false
  #lastSent = ''

  constructor(call: Call, name: string) {
    this.#call = call
    this.#name = name
  }

  changed(stream: EventStream, id: string | undefined): void {
    this.#isStale = true
    if (this.#isUnderWay) return
    this.#isUnderWay = true
    this.#lookUp(stream, id).then(
      () => {
        this.#isUnderWay = false
      },
      // The stream ends and its client resumes; there is nobody else to tell.
      () => stream.end(),
    )
  }

  async #lookUp(stream: EventStream, id: string | undefined): Promise<void> {
    while (this.#isStale) {
      this.#isStale = false
      const election = await electionOf(this.#call, this.#name)
      const text = JSON.stringify(election.leader)
      if (text === this.#lastSent) continue
      this.#lastSent = text
      stream.event({ ...(id !== undefined && { id }), type: 'leader', data: election })
    }
  }
}
