/** A new etcd, one member of this machine at a time. */
import { ClusterFailure } from './failure.ts'
import { demandHealth } from './picture.ts'
import { findEtcd, numbersOf } from './programs.ts'
import { type Rolling, restartOneByOne } from './rolling.ts'

/** @throws ClusterFailure; the members that had been changed by then stay so, which etcd allows, and when the command is given again it goes on with the others. */
export async function upgrade(work: Rolling, path: string): Promise<{ from: string[]; to: string }> {
  const { doors, progress } = work
  const { path: etcd, version } = findEtcd(path)
  const picture = await doors.look()
  demandHealth(picture, 'upgrading')
  const from = [...new Set(picture.members.map(({ status }) => status?.version ?? ''))]
  for (const present of from) demandStep(present, version)
  progress.say(`from etcd ${from.join(', ')} to ${version}`)
  await restartOneByOne(work, {
    purpose: 'upgrading',
    change: plan => ({ ...plan, etcd }),
    isDone: ({ status }, plan) => plan?.etcd === etcd && status?.version === version,
  })
  return { from, to: version }
}

/** etcd goes up by one minor version at a time, and back only within one. */
function demandStep(present: string, next: string): void {
  const [major, minor] = numbersOf(present)
  const [nextMajor, nextMinor] = numbersOf(next)
  const step = (nextMajor - major) * 1_000 + nextMinor - minor
  if (step === 0 || step === 1) return
  const why = step < 0 ? 'its data may be of the newer form' : 'etcd is upgraded one minor version at a time'
  throw new ClusterFailure(`Not from etcd ${present} to ${next}: ${why}.`)
}
