/** How many cycles a second does the simple REST API give to 64 keep-alive connections? */
import { rootKey } from '../../harness/server.ts'
import { holdfast } from '../holdfast.ts'
import { median, rate } from '../measure.ts'
import { RawHttp } from '../raw-http.ts'
import type { Report } from '../report.ts'

const CONNECTIONS = 64
const TARGET = 4_000

export async function rest({ isQuick }: { isQuick: boolean }): Promise<Report> {
  const bench = await holdfast()
  const sockets = await Promise.all(
    Array.from({ length: CONNECTIONS }, () => RawHttp.connect(bench.server.port, rootKey)),
  )
  const cycle = async (worker: number) => {
    const socket = sockets[worker]
    if (!socket) throw new Error('no socket')
    const granted = JSON.parse(await socket.post(`/v1/locks/bench%2F${worker}/acquire`, '{"ttl_seconds":30}')) as {
      lock_id: string
    }
    await socket.post(`/v1/locks/bench%2F${worker}/release`, JSON.stringify({ lock_id: granted.lock_id }))
  }
  await rate(cycle, { workers: CONNECTIONS, seconds: 1 })
  const rates: number[] = []
  for (let round = 0; round < (isQuick ? 2 : 5); round++)
    rates.push(await rate(cycle, { workers: CONNECTIONS, seconds: isQuick ? 1 : 3 }))
  for (const socket of sockets) socket.close()
  await bench.close()
  const value = median(rates)
  return {
    question: `REST v1, ${CONNECTIONS} keep-alive connections`,
    about: 'Acquire and release over HTTP/1.1, a session for each grant.',
    rows: [{ name: 'cycles', value, unit: 'cycles/s', spread: [Math.min(...rates), Math.max(...rates)] }],
    verdicts: [{ claim: 'cycles a second', value, target: `≥ ${TARGET}`, isMet: value >= TARGET }],
  }
}
