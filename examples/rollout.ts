/**
 * Configuration rollout: three nodes must run with the same configuration. One of them, the leader, decides and proclaims it as the value
 * of its leadership; all of them, itself included, apply what they observe. When the leader goes, the next one carries on from
 * the value that it finds. Without a leader each decides for itself, and they drift apart.
 *
 *   node scripts/run.mjs examples/rollout.ts                   # all nodes agree, also after the leader has gone
 *   node scripts/run.mjs examples/rollout.ts --without-lock    # they do not
 */
import { connect, type Holdfast } from '@holdfast/client'

type Configuration = { version: number; decidedBy: string }

const isWithoutLock = process.argv.includes('--without-lock')
const applied = new Map<string, Configuration>()

/** Each would decide differently: it measures its own load, say. */
function decide(node: string, before: Configuration | null): Configuration {
  return { version: (before?.version ?? 0) + 1, decidedBy: node }
}

async function lead(node: string, holdfast: Holdfast, signal: AbortSignal): Promise<void> {
  const election = holdfast.election('rollout/config')
  const before = await holdfast.value('rollout/config')
  // Proclaimed in the step of the election.
  const value = JSON.stringify(decide(node, before && JSON.parse(before.value)))
  await using leadership = await election.campaign(value, { signal })
  // Whoever led while this one waited may have gone further: then one more step, now that nobody else can write.
  const current = applied.get(node)
  if (current && current.version >= JSON.parse(value).version) {
    await leadership.proclaim(JSON.stringify(decide(node, current)))
  }
  const ended = AbortSignal.any([signal, leadership.signal])
  if (!ended.aborted) await new Promise(resolve => ended.addEventListener('abort', resolve))
}

async function follow(node: string, holdfast: Holdfast, changed: () => void): Promise<void> {
  for await (const leader of holdfast.election('rollout/config').observe()) {
    if (leader?.value === undefined) continue
    applied.set(node, JSON.parse(leader.value))
    changed()
  }
}

function agreement(nodes: readonly string[]): Configuration | null {
  const texts = new Set(nodes.map(node => JSON.stringify(applied.get(node) ?? null)))
  const [text = 'null'] = texts
  return texts.size === 1 ? JSON.parse(text) : null
}

/** Resolves when all nodes run with one configuration, decided by one of those that are there. */
async function agreed(nodes: readonly string[], changes: Set<() => void>): Promise<Configuration> {
  return new Promise(resolve => {
    const look = () => {
      const configuration = agreement(nodes)
      if (configuration && nodes.includes(configuration.decidedBy)) resolve(configuration)
    }
    changes.add(look)
    look()
  })
}

async function main(): Promise<void> {
  const changes = new Set<() => void>()
  const nodes = ['n1', 'n2', 'n3'].map(name => ({ name, holdfast: connect({ name }), stop: new AbortController() }))
  const work = nodes.map(async ({ name, holdfast, stop }) => {
    const following = follow(name, holdfast, () => {
      for (const look of changes) look()
    })
    // Ended by its own signal, or by the connection that is closed below.
    await lead(name, holdfast, stop.signal).catch(error => stop.signal.aborted || Promise.reject(error))
    await holdfast.close()
    await following
  })
  const first = await agreed(
    nodes.map(({ name }) => name),
    changes,
  )
  const leader = nodes.find(({ name }) => name === first.decidedBy)
  leader?.stop.abort()
  const second = await agreed(
    nodes.filter(node => node !== leader).map(({ name }) => name),
    changes,
  )
  for (const { stop } of nodes) stop.abort()
  await Promise.all(work)
  const isRight = second.decidedBy !== first.decidedBy
  console.log(JSON.stringify({ first, second, isRight }))
  process.exitCode = isRight ? 0 : 1
}

function withoutLeader(): void {
  const nodes = ['n1', 'n2', 'n3']
  for (const node of nodes) applied.set(node, decide(node, null))
  const isRight = agreement(nodes) !== null
  console.log(JSON.stringify({ applied: [...applied.values()], isRight }))
  process.exitCode = isRight ? 0 : 1
}

if (isWithoutLock) withoutLeader()
else await main()
