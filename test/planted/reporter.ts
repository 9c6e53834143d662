/** What the runner reads of a test: a line of JSON for each test that has ended. Loaded by the test's process, with `--test-reporter`. */
import type { TestEvent } from 'node:test/reporters'

/** One test that has ended. `errors`: names of what it threw, the causes after it; empty when it passed. `message`: of the last, or why it was skipped. */
export type Ended = { name: string; isSkipped: boolean; errors: string[]; message: string }

/** Causes that are followed; an error can be its own. */
const CAUSES_MAX = 8

export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of events) {
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue
    const { name, skip, details } = event.data
    const error = event.type === 'test:fail' && 'error' in details ? details.error : null
    const chain = error ? chainOf(error) : []
    const ended: Ended = {
      name,
      isSkipped: skip !== undefined,
      errors: chain.map(one => one.name),
      message: chain.at(-1)?.message.split('\n', 1)[0] ?? (typeof skip === 'string' ? skip : ''),
    }
    yield `${JSON.stringify(ended)}\n`
  }
}

function chainOf(error: Error): Error[] {
  const chain: Error[] = []
  for (let one: unknown = error; one instanceof Error && chain.length < CAUSES_MAX; one = one.cause) chain.push(one)
  return chain
}
