/** Which server decides for the locks that the witness uses. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Servers } from '../servers.ts'

const TRIES_MAX = 600
const LOOK_MS = 20

/** The place of the one with locks: all of one instance are in one shard. */
export async function ownerOf({ all }: Pick<Servers, 'all'>): Promise<number> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const counts = await Promise.all(all.map(({ url }) => locksAt(url)))
    const places = [...counts.keys()].filter(place => counts[place]! > 0)
    const [place] = places
    // Two: it is changing hands.
    if (place !== undefined && places.length === 1) return place
    await sleep(LOOK_MS)
  }
  throw new Error('no server says that it has locks')
}

/** 0 when it does not answer. */
async function locksAt(url: string): Promise<number> {
  const text = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(1_000) }).then(
    response => response.text(),
    () => '',
  )
  const lines = text.split('\n').filter(line => line.startsWith('holdfast_locks{'))
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}
