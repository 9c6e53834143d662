/** A backup ends, however the disk or the member behaves: with a sentence, and with nothing left under its name. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Clock, systemClock } from '../clock.ts'
import { systemRandom } from '../random.ts'
import { backUp, dropOldBackups } from './backup.ts'
import { backupRecord, noteBackup } from './backup-record.ts'
import { ClusterDirectory } from './directory.ts'
import { ClusterFailure, ClusterStopped } from './failure.ts'
import { remove } from './files.ts'
import { keep } from './keeping.ts'
import type { Doors } from './picture.ts'

/** A disk that is full from the first byte on. */
const FULL = '/dev/full'
const noFull = existsSync(FULL) ? false : `there is no ${FULL} here`
/** More than any buffer on the way takes. */
const PIECES = 8
const PIECE = Buffer.alloc(256 * 1024, 'x')

let folder: string
let directory: ClusterDirectory
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-backup.'))
  const etcd = program('etcd', 'echo "etcd Version: 3.5.16"')
  program(
    'etcdutl',
    'case $1 in version) echo "etcdutl version: 3.5.16";; *) echo \'{"hash":1,"revision":2,"totalKey":3}\';; esac',
  )
  directory = new ClusterDirectory(join(folder, 'cluster'))
  const ports = { clientPort: 1, peerPort: 2 }
  const start = { state: 'new' as const, initialCluster: '' }
  const member = { name: 'm1', host: '127.0.0.1', ...ports, etcd, generation: 1, start }
  directory.create({ token: 'test', quotaBytes: 1, root: 'holdfast', members: [member] })
})
after(() => remove(folder))

function program(name: string, script: string): string {
  const path = join(folder, name)
  writeFileSync(path, `#!/bin/sh\n${script}\n`)
  chmodSync(path, 0o700)
  return path
}

async function* snapshot() {
  const sum = createHash('sha256')
  for (let left = PIECES; left > 0; left--) {
    sum.update(PIECE)
    yield { blob: PIECE, remainingBytes: BigInt(left * PIECE.length) }
  }
  yield { blob: sum.digest(), remainingBytes: 0n }
}

/** One member, which is well and sends this. */
function doorsTo(pieces: () => AsyncIterable<{ blob: Uint8Array; remainingBytes: bigint }>): Doors {
  const members = [{ name: 'm1', url: 'http://m1', trouble: null, isLearner: false, isLeader: false }]
  // What a backup and its schedule ask of them.
  return {
    directory,
    look: async () => ({ members, leader: null, alarms: [] }),
    at: () => ({ snapshot: pieces }),
  } as unknown as Doors
}

function work() {
  const said: string[] = []
  const controller = new AbortController()
  const progress = { say: (text: string) => void said.push(text), update: () => undefined }
  return { said, controller, clock: systemClock, random: systemRandom, signal: controller.signal, progress, directory }
}

test('a backup to a disk that has room is whole', async () => {
  const file = join(folder, 'whole.db')
  const { bytes, keys } = await backUp({ ...work(), doors: doorsTo(snapshot), file })
  assert.equal(bytes, PIECES * PIECE.length + 32)
  assert.equal(keys, 3)
})

test('a backup to a full disk ends, says what to do, and leaves nothing', { skip: noFull }, async () => {
  const file = join(folder, 'full.db')
  symlinkSync(FULL, `${file}.partial`)
  const failure = await backUp({ ...work(), doors: doorsTo(snapshot), file }).catch((error: unknown) => error)
  assert.ok(failure instanceof ClusterFailure, String(failure))
  assert.match(failure.message, /full\.db cannot be written: its disk has no room left\. Free some, or .*--backups/)
  assert.deepEqual(
    readdirSync(folder).filter(name => name.startsWith('full')),
    [],
  )
})

test('a scheduled backup that fails is said, tried again, and keeps nobody from ending', { skip: noFull }, async () => {
  const into = join(folder, 'scheduled')
  mkdirSync(into)
  symlinkSync(FULL, join(into, 'holdfast-20200101T000000000Z.db.partial'))
  const { said, controller, ...rest } = work()
  const clock: Clock = {
    ...systemClock,
    wallMs: () => Date.UTC(2020, 0, 1),
    after: (_ms, act) => systemClock.after(1, act),
  }
  const say = (text: string) => {
    said.push(text)
    if (text.startsWith('backed up to')) controller.abort()
  }
  const backups = { everyMs: 3_600_000, keep: 2, directory: into }
  await keep({ ...rest, clock, progress: { ...rest.progress, say }, doors: doorsTo(snapshot), backups })
  assert.match(said[0] ?? '', /^THE BACKUP FAILED: .*no room left/)
  assert.match(said[1] ?? '', /^backed up to .*20200101T000000000Z\.db/)
})

test('a backup from a member that falls silent can be stopped', async () => {
  const file = join(folder, 'silent.db')
  const { controller, ...rest } = work()
  const doors = doorsTo(async function* () {
    yield { blob: PIECE, remainingBytes: 1n }
    controller.abort()
    await new Promise(() => undefined)
  })
  await assert.rejects(backUp({ ...rest, doors, file }), ClusterStopped)
  assert.ok(!existsSync(file) && !existsSync(`${file}.partial`))
})

test('a backup into a folder that is not there says so', async () => {
  const file = join(folder, 'nowhere', 'x.db')
  await assert.rejects(backUp({ ...work(), doors: doorsTo(snapshot), file }), {
    name: 'ClusterFailure',
    message: /x\.db cannot be written: there is no folder .*nowhere\. Make it/,
  })
})

test('an `up` that is started again and again makes no backup each time, and drops no older one for it', async () => {
  const into = join(folder, 'kept')
  mkdirSync(into)
  writeFileSync(join(into, 'holdfast-20200101T000000000Z.db'), 'from before the mistake')
  noteBackup(directory, { last: null })
  const backups = { everyMs: 6 * 3_600_000, keep: 1, directory: into }
  const started = async (forMs: number) => {
    const { controller, ...rest } = work()
    const say = (text: string) => text.startsWith('backed up to') && controller.abort()
    const timer = setTimeout(() => controller.abort(), forMs)
    await keep({ ...rest, progress: { ...rest.progress, say }, doors: doorsTo(snapshot), backups })
    clearTimeout(timer)
    return readdirSync(into)
  }
  const first = await started(30_000)
  assert.deepEqual(first, [basename(backupRecord(directory).last?.file ?? '')])
  // Long enough for one that would be made at once.
  for (let start = 0; start < 2; start++) assert.deepEqual(await started(300), first)
})

test('what a killed backup has left goes with the next one; what is being written, and what is not ours, stays', async () => {
  const into = join(folder, 'left')
  mkdirSync(into, { mode: 0o755 })
  chmodSync(into, 0o755)
  const [old, fresh] = ['holdfast-20200101T000000000Z.db.partial', 'holdfast-20200102T000000000Z.db.partial']
  for (const name of [old, fresh, 'mine.partial']) writeFileSync(join(into, name), 'half')
  for (const name of [old, 'mine.partial']) utimesSync(join(into, name), 0, 0)
  const { file } = await backUp({ ...work(), doors: doorsTo(snapshot), into })
  assert.deepEqual(readdirSync(into).sort(), [fresh, basename(file), 'mine.partial'].sort())
  // Nor does it close a folder that was there before.
  assert.equal(statSync(into).mode & 0o777, 0o755)
})

/** What a folder with these names keeps after one more is made at noon. */
async function keptOf({ into, names, keep: count }: { into: string; names: string[]; keep: number }) {
  mkdirSync(into)
  for (const name of names) writeFileSync(join(into, name), 'kept')
  const { said, ...rest } = work()
  const atNoon = { ...rest, clock: { ...systemClock, wallMs: () => Date.UTC(2020, 0, 3, 12) } }
  const { file } = await backUp({ ...atNoon, doors: doorsTo(snapshot), into })
  const dropped = dropOldBackups(atNoon, { made: file, keep: count })
  return { made: basename(file), dropped, left: readdirSync(into).sort(), said }
}
const [first, second] = ['holdfast-20200101T000000000Z.db', 'holdfast-20200102T000000000Z.db']

test('the backup that has just been made stays, and those of a clock that was ahead are the oldest', async () => {
  const ahead = ['holdfast-20200103T130000000Z.db', 'holdfast-20210101T000000000Z.db']
  const two = await keptOf({ into: join(folder, 'ahead'), names: [first, second, ...ahead], keep: 2 })
  assert.deepEqual(two.left, [second, two.made])
  assert.deepEqual(two.dropped, [...ahead, first])
  const one = await keptOf({ into: join(folder, 'ahead-one'), names: ahead, keep: 1 })
  assert.deepEqual(one.left, [one.made])
  const many = await keptOf({ into: join(folder, 'ahead-many'), names: ahead, keep: 3 })
  assert.deepEqual([many.dropped, many.left.length], [[], 3])
})

test('an old backup that cannot be removed is told, and no reason to call the new one a failure', async t => {
  const into = join(folder, 'locked')
  const locked = join(into, first)
  mkdirSync(locked, { recursive: true })
  writeFileSync(join(locked, 'inside'), 'kept')
  writeFileSync(join(into, second), 'kept')
  chmodSync(locked, 0o500)
  // Of the one who may do everything it takes more than that.
  if (process.geteuid?.() === 0 && spawnSync('chattr', ['+i', locked]).status !== 0) return t.skip('chattr is needed')
  noteBackup(directory, { last: null })
  const { said, controller, ...rest } = work()
  const waits: number[] = []
  const clock: Clock = {
    ...systemClock,
    after: (ms, act) => {
      waits.push(ms)
      return systemClock.after(1, act)
    },
  }
  const say = (text: string) => {
    said.push(text)
    if (said.filter(one => one.startsWith('backed up to')).length === 2) controller.abort()
  }
  const backups = { everyMs: 3_600_000, keep: 1, directory: into }
  try {
    await keep({ ...rest, clock, progress: { ...rest.progress, say }, doors: doorsTo(snapshot), backups })
  } finally {
    spawnSync('chattr', ['-i', locked])
    chmodSync(locked, 0o700)
  }
  assert.equal(backupRecord(directory).failure, null)
  assert.match(said[0] ?? '', /^backed up to/)
  assert.match(said[1] ?? '', /20200101T000000000Z\.db is older than what is kept, and cannot be removed: /)
  assert.deepEqual([said.length, readdirSync(into).length], [4, 2])
  // Soon again is for what has failed.
  assert.ok(!waits.includes(60_000))
})
