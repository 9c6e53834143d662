import { v2 } from '@holdfast/protocol/v2'
import type { Election } from '@holdfast/protocol/v2-schemas'
import { type Call, route } from '../call.ts'
import { endedRefusal } from '../ended.ts'
import { type EventStream, streamEvents } from '../sse.ts'
import { withoutUnreadOne } from '../values.ts'
import { electionOf } from './election.ts'

/**
 * Events do not carry values, so who leads is looked up: before the stream begins, to be said before all events, and after each of them. Look-ups
 * that pile up become one: what counts is the newest. A `leader` has no id, for it has no place in the order of events: whoever resumes does so
 * after the last event. Who may watch and not read is told who leads, and not the value.
 */
export const observe = route(v2.observe, async call => {
  const { name } = call.params
  const leaders = new Leaders(call, await seenElection(call, name))
  return streamEvents(call, { name }, call.query.cursor, leaders)
})

/** Asked anew each time: rights change while the stream is open. */
async function seenElection(call: Call, name: string): Promise<Election> {
  const election = await electionOf(call, name)
  const isKnown = election.leader === null || (await withoutUnreadOne(call, name, election.leader)) !== null
  // A leader without a value would be taken for one that has written none.
  if (!isKnown) throw endedRefusal('permission_unknown')
  return election
}

class Leaders {
  readonly #call: Call
  readonly #first: Election
  #isUnderWay = false
  #isStale = false
  #lastSent: string

  constructor(call: Call, first: Election) {
    this.#call = call
    this.#first = first
    this.#lastSent = JSON.stringify(first.leader)
  }

  began(stream: EventStream): void {
    stream.event({ type: 'leader', data: this.#first })
    // There may have been a change before there was a watch.
    this.sent(stream)
  }

  sent(stream: EventStream): void {
    this.#isStale = true
    if (this.#isUnderWay) return
    this.#isUnderWay = true
    this.#lookUp(stream).then(
      () => {
        this.#isUnderWay = false
      },
      // The stream ends and its client resumes; there is nobody else to tell.
      () => stream.end(),
    )
  }

  async #lookUp(stream: EventStream): Promise<void> {
    while (this.#isStale) {
      this.#isStale = false
      const election = await seenElection(this.#call, this.#first.name)
      const text = JSON.stringify(election.leader)
      if (text === this.#lastSent) continue
      this.#lastSent = text
      stream.event({ type: 'leader', data: election })
    }
  }
}
