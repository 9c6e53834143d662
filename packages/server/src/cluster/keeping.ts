/**
 * What `cluster up` does while nothing happens: it tells what changes, makes backups, renews certificates, and tends the store as long as no
 * Holdfast server is there to do it (a server tends it more often, and two at a time could take two members out of service at once).
 */
import { pause } from '../clock.ts'
import type { EtcdEngine } from '../engine/etcd/etcd.ts'
import { backUp, dropOldBackups } from './backup.ts'
import { backupDueMs, noteBackup } from './backup-record.ts'
import type { ClusterDirectory } from './directory.ts'
import { ClusterBusy, messageOf } from './failure.ts'
import type { Surroundings } from './identities.ts'
import { exclusively, runsOperation } from './operation.ts'
import type { Doors, Picture } from './picture.ts'
import type { Work } from './progress.ts'
import { renewIfDue } from './rotation.ts'
import { hasServers, openStore } from './store.ts'

export type Keeping = Surroundings & {
  directory: ClusterDirectory
  doors: Doors
  /** null: none by itself. */
  backups: { everyMs: number; keep: number; directory: string } | null
}

const LOOK_MS = 2_000
const TEND_MS = 30_000
const CERTIFICATES_MS = 3_600_000
/** After one that failed; sooner than the next would be. */
const BACKUP_AGAIN_MS = 60_000

/** Returns when the signal has been given. What fails is told, and tried again in its turn. */
export async function keep(options: Work & Keeping): Promise<void> {
  const keeper = new Keeper(options)
  const tasks = [
    repeat(options, { everyMs: LOOK_MS, firstMs: LOOK_MS }, () => keeper.look()),
    repeat(options, { everyMs: TEND_MS, firstMs: TEND_MS }, () => keeper.tend()),
    repeat(options, { everyMs: CERTIFICATES_MS, firstMs: CERTIFICATES_MS }, () => renew(options)),
  ]
  const { backups } = options
  noteBackup(options.directory, { everyMs: backups?.everyMs ?? null })
  if (backups) tasks.push(keeper.backUpForEver(backups))
  await Promise.all(tasks)
  await keeper.close()
}

/** Also before the members are started: with certificates that are not valid nobody would ever be let in. */
export async function renew(options: Work & Surroundings & { directory: ClusterDirectory }): Promise<void> {
  const { directory, progress } = options
  await ifNothingElse(directory, 'renewing certificates', async () => {
    for (const file of renewIfDue(directory, options)) progress.say(`renewed ${file}`)
  })
}

async function ifNothingElse(directory: ClusterDirectory, what: string, act: () => Promise<void>): Promise<void> {
  try {
    await exclusively(directory, what, act)
  } catch (error) {
    // Somebody else works on the cluster: next time.
    if (!(error instanceof ClusterBusy)) throw error
  }
}

async function repeat(
  { clock, signal, progress }: Work,
  { everyMs, firstMs }: { everyMs: number; firstMs: number },
  act: () => Promise<void>,
): Promise<void> {
  let told = ''
  for (await pause(clock, firstMs, signal); !signal.aborted; await pause(clock, everyMs, signal)) {
    try {
      await act()
      told = ''
    } catch (error) {
      const text = messageOf(error)
      // Once, not every few seconds.
      if (text !== told && !signal.aborted) progress.say(text)
      told = text
    }
  }
}

class Keeper {
  readonly #options: Work & Keeping
  #last = ''
  #engine: { urls: string; engine: EtcdEngine } | null = null

  constructor(options: Work & Keeping) {
    this.#options = options
  }

  /** Tells what has changed about the members. */
  async look(): Promise<void> {
    const { doors, progress } = this.#options
    const picture = await doors.look()
    await giveVotes(doors, picture)
    const text = describe(picture)
    if (this.#last !== '' && text !== this.#last) progress.say(text)
    this.#last = text
  }

  async tend(): Promise<void> {
    const { directory, doors } = this.#options
    const picture = await doors.look()
    if (!picture.leader || picture.members.some(({ trouble }) => trouble !== null)) return
    const engine = await this.#store(picture)
    if (await hasServers(engine, directory.plan().root)) return
    await ifNothingElse(directory, 'looking after the space', () => engine.tend())
  }

  async backUpForEver(backups: NonNullable<Keeping['backups']>): Promise<void> {
    const { directory, doors, clock, signal, progress } = this.#options
    const { everyMs } = backups
    for (let waitMs = backupDueMs(directory, { everyMs, nowMs: clock.wallMs() }); !signal.aborted; ) {
      await pause(clock, waitMs, signal)
      if (signal.aborted) return
      waitMs = everyMs
      try {
        const backup = await backUp({ ...this.#options, directory, doors, into: backups.directory })
        progress.say(`backed up to ${backup.file} (${backup.keys} keys, revision ${backup.revision})`)
        dropOldBackups(this.#options, { made: backup.file, keep: backups.keep })
      } catch (error) {
        if (signal.aborted) return
        waitMs = Math.min(waitMs, BACKUP_AGAIN_MS)
        const why = messageOf(error)
        noteBackup(directory, { failure: { at: clock.wallMs(), why } })
        progress.say(`THE BACKUP FAILED: ${why}`)
      }
    }
  }

  async close(): Promise<void> {
    await this.#engine?.engine.close()
  }

  async #store(picture: Picture): Promise<EtcdEngine> {
    const urls = picture.members.map(({ url }) => url).join()
    if (this.#engine?.urls !== urls) {
      await this.#engine?.engine.close()
      this.#engine = null
      this.#engine = { urls, engine: await openStore(this.#options.directory, picture, this.#options.clock) }
    }
    return this.#engine.engine
  }
}

/** A member of this machine that still learns, because who added it was cut short. Refused until it has caught up. */
async function giveVotes(doors: Doors, picture: Picture): Promise<void> {
  const { leader, members } = picture
  if (!leader || runsOperation(doors.directory)) return
  for (const { id, isLearner, isLocal, trouble } of members) {
    if (isLearner && isLocal && trouble === null) await doors.calls(leader).memberPromote(id)
  }
}

function describe({ members, leader, alarms }: Picture): string {
  const well = members.filter(({ trouble }) => trouble === null).length
  const ill = members.flatMap(({ name, trouble }) => (trouble === null ? [] : [`${name} ${trouble}`]))
  const raised = alarms.map(({ member, alarm }) => `ALARM ${alarm} of ${member}`)
  const state = `${well} of ${members.length} members can be counted on, ${leader ? `${leader.name} leads` : 'nobody leads'}`
  return [state, ...ill, ...raised].join('; ')
}
