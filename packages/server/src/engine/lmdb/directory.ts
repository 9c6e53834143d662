/** The directory that an LMDB store lives in: private to its user, on a local disk, and on that disk for good. */
import { chmod, link, mkdir, mkdtemp, open, rm, stat, statfs } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'

/** Readable by nobody but the one who runs the server: the store holds what secrets are derived from. */
const DIRECTORY_MODE = 0o700
const FILE_MODE = 0o600

/**
 * Memory maps and locks are not coherent between machines, and a sync on them proves little. FUSE is among them because what
 * lies behind it cannot be known.
 */
const networkFileSystems = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xfe534d42, 'SMB 2'],
  [0xff534d42, 'CIFS'],
  [0x00c36400, 'Ceph'],
  [0x5346414f, 'AFS'],
  [0x6b414653, 'AFS'],
  [0x01021997, '9P'],
  [0x73757245, 'Coda'],
  [0x0bd00bd0, 'Lustre'],
  [0x47504653, 'GPFS'],
  [0x65735546, 'FUSE'],
])

/** Makes the directory if need be, and refuses one that LMDB cannot be trusted on. */
export async function prepareDirectory(path: string): Promise<void> {
  const directory = resolve(path)
  const created = await mkdir(directory, { recursive: true, mode: DIRECTORY_MODE })
  const network = networkFileSystem((await statfs(directory)).type)
  if (network) {
    throw new Error(
      `The data directory ${directory} is on a network file system (${network}). Its syncs and locks cannot be trusted; use a local disk.`,
    )
  }
  await chmod(directory, DIRECTORY_MODE)
  if (created !== undefined) await syncPath(dirname(created))
}

/** The name of the network file system of this `statfs` type, if it is one. */
export function networkFileSystem(type: number): string | null {
  // Node gives the type as a signed or unsigned number, by platform.
  return networkFileSystems.get(type >>> 0) ?? null
}

/** What a file system says that has no second names for files (exFAT). */
const noLinks = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'])

/**
 * Sees to it that the data file, if there is none, gets its name when it is whole. LMDB writes the two pages at its head in place: when the
 * power goes between them, what is left is a file that takes every process with it that opens it. So it is made in a folder beside and then
 * given its name; of two processes that do so at once one is first, and the other's file goes. A folder that a crash has left holds nothing.
 */
export async function nameWhole(path: string, create: (folder: string) => Promise<void>): Promise<void> {
  const file = join(path, 'data.mdb')
  if (await stat(file).then(Boolean, () => false)) return
  const folder = await mkdtemp(join(path, 'new-'))
  try {
    await create(folder)
    await link(join(folder, 'data.mdb'), file)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    // Then it is made in its place, as LMDB does it.
    if (code !== 'EEXIST' && !noLinks.has(code)) throw error
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Makes the new files private, and their names in the directory durable. */
export async function secureFiles(path: string): Promise<void> {
  for (const file of ['data.mdb', 'lock.mdb', 'journal-0', 'journal-1', 'holder.lock'])
    await chmod(join(path, file), FILE_MODE)
  await syncPath(path)
}

async function syncPath(path: string): Promise<void> {
  // Windows knows no sync of a directory; its file system journals names.
  if (process.platform === 'win32') return
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
