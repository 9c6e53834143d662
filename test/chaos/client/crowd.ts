/** Many sessions in one process, each of which holds one lock and does nothing else; so that they can all die at once. */
import { writeSync } from 'node:fs'
import { connect } from '@holdfast/client'
import { rootKey } from '../../harness/server.ts'

const AT_ONCE = 50

const [urls = '', count = '0', ttlMs = '0'] = process.argv.slice(2)
let next = 0

async function lane(): Promise<void> {
  const all = urls.split(',')
  for (let place = next++; place < Number(count); place = next++) {
    const from = place % all.length
    const url = [...all.slice(from), ...all.slice(0, from)]
    await connect({ url, apiKey: rootKey, ttlMs: Number(ttlMs), name: `crowd-${place}` }).acquire(`crowd/${place}`)
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, lane))
writeSync(1, 'ready\n')
// Whoever started it is gone.
process.stdin.on('end', () => process.exit(0)).resume()
