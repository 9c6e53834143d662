/**
 * A noisy neighbour, as a process of its own so that its work is not the measurer's: `node noise.ts URL KEY OFFERED ws|rest SECONDS`. Asks for so many locks
 * a second whatever it is answered, gives back what it gets, and prints how that went.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Wire } from '../harness/wire.ts'
import { RawHttp } from './raw-http.ts'

const [url = '', key = '', offered = '', door = 'ws', seconds = ''] = process.argv.slice(2)
const TICK_MS = 2
/** Sockets that REST requests are spread over; each has one on its way. */
const SOCKETS = 256
const counts = { asked: 0, granted: 0, refused: 0 }

/** What is due is asked for in small bunches, so that the rate is one of time and not of answers. */
async function pace(ask: (index: number) => void): Promise<void> {
  const began = performance.now()
  let index = 0
  for (let nowMs = 0; nowMs < Number(seconds) * 1_000; nowMs = performance.now() - began) {
    for (const due = (nowMs / 1_000) * Number(offered); index < due; ) ask(index++)
    await sleep(TICK_MS)
  }
}

async function overWebSocket(): Promise<void> {
  const wire = await Wire.connect(url, { key })
  await pace(index => {
    counts.asked++
    void wire.ask({ type: 'acquire', name: `noise/${index % 1_000}`, wait_ms: 0 }).then(async reply => {
      // What an acquire is answered with.
      const { grant } = reply as { grant?: { name: string; token: number } }
      if (!grant) return void counts.refused++
      counts.granted++
      await wire.ask({ type: 'release', name: grant.name, token: grant.token, settled: wire.oldest })
    })
  })
  await sleep(200)
  wire.close()
}

/** `/v1`, which needs no session. What no socket is free for is not sent: it could not be, by a client that waits for answers. */
async function overRest(): Promise<void> {
  const port = Number(new URL(url).port)
  const idle = await Promise.all(Array.from({ length: SOCKETS }, () => RawHttp.connect(port, key)))
  const one = async (http: RawHttp, name: string) => {
    try {
      const { lock_id } = JSON.parse(await http.post(`/v1/locks/${name}/acquire`, '{"wait_seconds":0}'))
      counts.granted++
      await http.post(`/v1/locks/${name}/release`, JSON.stringify({ lock_id }))
    } catch {
      // Refused, which is what it is here for.
      counts.refused++
    }
    idle.push(http)
  }
  await pace(index => {
    const http = idle.pop()
    if (!http) return
    counts.asked++
    void one(http, `noise-${index % 1_000}`)
  })
  await sleep(200)
}

await (door === 'ws' ? overWebSocket() : overRest())
console.log(JSON.stringify(counts))
process.exit(0)
