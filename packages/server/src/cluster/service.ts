/** Whether Holdfast's servers serve, by what they have written into the store: members of etcd that are well are not yet a lock service. */
import { isIP } from 'node:net'
import type { StorePicture } from './store.ts'

export type ServiceProblem = { what: string; change: string }

/** Of a store that servers have used. `memberUrls` are of etcd's members. */
export function serviceProblems(store: StorePicture, memberUrls: readonly string[]): ServiceProblem[] {
  const alive = store.servers.filter(({ isBeating }) => isBeating)
  if (alive.length === 0) {
    return [{ what: 'no Holdfast server is alive', change: 'Start some: the line is what holdfast cluster up prints.' }]
  }
  const known = new Set(alive.map(({ server }) => server))
  const orphans = store.shards.filter(({ server }) => server === null || !known.has(server))
  const problems = [...twinsOf(alive), ...lonelyOf(alive, memberUrls)]
  if (orphans.length > 0) {
    problems.push({
      what: `shards without an owner that lives: ${orphans.map(({ shard }) => shard).join(' ')}`,
      change: 'Look again in a few seconds; then at the logs of the servers.',
    })
  }
  return problems
}

type Servers = StorePicture['servers']

const CHANGE = 'Start each with an --advertise of its own, at which the others reach it, like https://10.0.0.1:7420.'

/** What one forwards to the other comes back to itself. */
function twinsOf(alive: Servers): ServiceProblem[] {
  const addresses = Map.groupBy(alive, ({ address }) => address)
  return [...addresses].flatMap(([address, servers]) => {
    if (servers.length === 1) return []
    const names = servers.map(({ server }) => server).join(', ')
    return [{ what: `${names} all say that they are reached at ${address}`, change: CHANGE }]
  })
}

/** With members on several machines, servers are as well: each of the others would reach itself there. */
function lonelyOf(alive: Servers, memberUrls: readonly string[]): ServiceProblem[] {
  if (memberUrls.every(isLoopback)) return []
  return alive
    .filter(({ address }) => isLoopback(address))
    .map(({ server, address }) => ({
      what: `${server} says that it is reached at ${address}, which no other machine can reach, and etcd is on machines of its own`,
      change: CHANGE,
    }))
}

export function isLoopback(url: string): boolean {
  if (!URL.canParse(url)) return false
  const { hostname } = new URL(url)
  return ['localhost', '[::1]'].includes(hostname) || (isIP(hostname) === 4 && hostname.startsWith('127.'))
}
