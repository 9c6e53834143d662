/** Scenarios of VERIFICATION section 8 that this apparatus does not run, each with the reason: they are listed, and never passed. */
import { spawnSync } from 'node:child_process'
import type { Scenario } from '../scenario.ts'

export const elsewhere: Scenario[] = [
  {
    id: '5c',
    name: 'half of all packets lost',
    does: 'packets between a server and everybody are lost at random',
    expects: 'all invariants',
    needs: lossReason,
    strike: nothing,
  },
  {
    id: '17b',
    name: 'machine suspended, or frozen unseen',
    does: 'the machine sleeps for 30 s; or all its clocks stand still',
    expects: 'no mass failure of calls; for the freeze I1 to I3',
    needs: () =>
      'this needs a hypervisor around the machine; the simulator suspends and stops machines (npm run simulate)',
    strike: nothing,
  },
]

async function nothing(): Promise<void> {
  throw new Error('this is never run')
}

/** What it would take, and which of it there is. */
function lossReason(): string {
  if (process.getuid?.() !== 0) return 'only root can have packets dropped'
  const netem = spawnSync('unshare', ['-n', 'tc', 'qdisc', 'add', 'dev', 'lo', 'root', 'netem', 'loss', '50%'], {
    encoding: 'utf8',
  })
  const nft = spawnSync('nft', ['--version'])
  if (netem.status !== 0 && nft.status !== 0)
    return `this kernel has no netem (${(netem.stderr ?? '').trim()}), and there is no nft; links that are cut, slow or silent are 5, 6, 6b and 6c`
  return 'not built here: links that are cut, slow or silent are 5, 6, 6b and 6c'
}
