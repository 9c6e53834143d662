/** What a user's first program does, with nothing but the package and the platform. Prints what it saw as JSON. `… hold.mjs URL KEY NAME` */
import { connect } from '@holdfast/client'

const [url, apiKey, name] = process.argv.slice(2)
const holdfast = connect({ url, apiKey, name: 'the program' })
const other = connect({ url, apiKey, name: 'another' })
const seen = await holdfast.using(name, { waitMs: 5_000 }, async lock => ({
  token: lock.token,
  remains: lock.validForMs() > 0,
  aborted: lock.signal.aborted,
  excludes: (await other.tryAcquire(name)) === null,
  state: (await holdfast.rest.show(name)).state,
}))
const after = await other.acquire(name, { waitMs: 5_000 })
const grows = after.token > seen.token
await after.release()
await other.close()
await holdfast.close()
console.log(JSON.stringify({ ...seen, grows, source: import.meta.resolve('@holdfast/client') }))
