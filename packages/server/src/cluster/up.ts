/** `holdfast cluster up`: the members of this machine, run and looked after until somebody asks for the end. */
import type { ClusterDirectory } from './directory.ts'
import { ClusterFailure, messageOf } from './failure.ts'
import { type Keeping, keep, renew } from './keeping.ts'
import { Doors, type Picture } from './picture.ts'
import { type Work, waitFor } from './progress.ts'
import { Runner } from './running.ts'

/** Members of other machines may be started by hand, one after another. */
const READY_MS_MAX = 10 * 60_000

export type Up = Work &
  Omit<Keeping, 'directory' | 'doors'> & {
    directory: ClusterDirectory
    /** Before anything else, with the members of the plan running: to join. */
    first?(doors: Doors): Promise<void>
    ready(picture: Picture): void
  }

/** Returns when the signal has been given and every member of this machine is gone. */
export async function runCluster(options: Up): Promise<void> {
  const { directory, clock, signal, progress, ready } = options
  const said = (text: string) => progress.say(text)
  const runner = new Runner({ directory, clock, said })
  const doors = new Doors(directory, clock)
  // A full disk is no reason not to start.
  await renew(options).catch((error: unknown) => said(messageOf(error)))
  await runner.start()
  try {
    await options.first?.(doors)
    ready(await waitUntilReady(options, doors))
    await keep({ ...options, doors })
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    progress.update('stopping …')
    doors.close()
    await runner.close()
    progress.say('all members of this machine have stopped')
  }
}

/** Until the members of this machine can be counted on, but for those that are not started: that has been said, and the others need not wait for them. */
function waitUntilReady(work: Up, doors: Doors): Promise<Picture> {
  const { directory } = work
  const names = directory.plan().members.map(({ name }) => name)
  return waitFor(work, { what: `starting ${names.join(', ')}`, timeoutMs: READY_MS_MAX }, async () => {
    // The others may be anywhere.
    if (names.length > 0 && names.every(name => directory.isRemoved(name)))
      throw new ClusterFailure(`All members of ${directory.path} have been removed from the cluster.`)
    const picture = await doors.look()
    const isReady = (name: string) => picture.members.some(member => member.name === name && member.trouble === null)
    const there = names.filter(name => !directory.isMissingData(name) && !directory.isRemoved(name))
    return picture.leader && there.length > 0 && there.every(isReady) ? picture : null
  })
}
