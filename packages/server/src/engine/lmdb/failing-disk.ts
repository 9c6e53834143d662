/** A process of `lmdb.test.ts`: writes until the disk refuses, and says what came of what followed. */
import { systemClock } from '../../clock.ts'
import { openLmdb } from './lmdb.ts'

const errors: string[] = []
// Where the limit on files is signalled, it is to be an error of the write instead.
process.on('SIGXFSZ', () => undefined)
process.on('unhandledRejection', () => {
  errors.push('unhandled')
})

const engine = await openLmdb({ path: process.argv[2] ?? '' })
let committed = 0
const put = () => engine.commit({ checks: [], writes: [{ key: `key/${committed}`, value: new Uint8Array(20_000) }] })
while (errors.length === 0) {
  try {
    await put()
    committed++
  } catch (error) {
    errors.push(nameOf(error))
  }
}
await put().catch((error: unknown) => errors.push(nameOf(error)))
await engine.read('key/0').catch((error: unknown) => errors.push(nameOf(error)))
// Rejections that nobody handles are told a turn later.
await new Promise<void>(resolve => systemClock.afterPoll(resolve))
process.stdout.write(JSON.stringify({ committed, errors }), () => process.exit(0))

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : String(error)
}
