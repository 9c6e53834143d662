/**
 * What makes a commit durable: two files, one of which is being written to. A commit is one write, to blocks that are there already, through a descriptor by
 * which a write returns when the disk has it: one visit of the disk, where LMDB's own commit makes two and copies pages (decision 0120).
 * When the file is full the other is begun, and what the full one holds goes to LMDB meanwhile, all at once.
 *
 * After a crash the records are read in the order of their revisions. The last one may be torn: then it was not acknowledged. One that is torn and has
 * others behind it was, and the disk has lost it: then the store is refused.
 */
import { constants, write } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { randomHex, systemRandom } from '../../random.ts'
import { EngineFatal } from '../engine.ts'
import { BLOCK_BYTES, type Commits, decodeRecord, encodeRecord, type JournalRecord, recordBytesMax } from './record.ts'

/** Of one file: some hundred commits, a second of full load; what a start after a crash reads at most is twice that. */
export const JOURNAL_BYTES = 4 * 1024 * 1024
/** Holds the largest commit that there is, and what its sealing adds. */
export const JOURNAL_BYTES_MIN = 2 * 1024 * 1024
const FILE_MODE = 0o600
const USE_BYTES = 8
const files = ['journal-0', 'journal-1'] as const
/** Elsewhere a write through such a descriptor may still lie in the disk's own memory, or there is none. */
const isSyncedByWriting = process.platform === 'linux'

export class Journal {
  readonly #handles: readonly FileHandle[]
  readonly #bytes: number
  readonly #salt: number
  #current = 0
  #offset = 0
  #use = newUse()
  #buffer = Buffer.alloc(16 * BLOCK_BYTES)

  private constructor(handles: readonly FileHandle[], { bytes, salt }: { bytes: number; salt: number }) {
    this.#handles = handles
    this.#bytes = bytes
    this.#salt = salt
  }

  /** Makes the files if they are not there, as long as they are to be, so that later writes change nothing but their content. */
  static async open(path: string, { bytes, salt }: { bytes: number; salt: number }): Promise<Journal> {
    const handles: FileHandle[] = []
    const flags = constants.O_RDWR | constants.O_CREAT | (isSyncedByWriting ? constants.O_DSYNC : 0)
    const journal = new Journal(handles, { bytes, salt })
    try {
      for (const file of files) {
        const handle = await open(join(path, file), flags, FILE_MODE)
        handles.push(handle)
        const { size } = await handle.stat()
        if (size < bytes) await handle.write(Buffer.alloc(bytes - size), 0, bytes - size, size)
        await handle.sync()
      }
      return journal
    } catch (error) {
      await journal.close()
      throw error
    }
  }

  /**
   * The records beyond `after`, in order. @throws EngineFatal when some that were acknowledged are not there.
   */
  async recordsAfter(after: number): Promise<JournalRecord[]> {
    const found = await Promise.all(
      this.#handles.map(async handle => recordsIn(await contentOf(handle), { after, salt: this.#salt })),
    )
    const records = found.flat().sort((one, other) => one.revision - other.revision)
    let next = after + 1
    for (const { revision, commits } of records) {
      if (revision > next)
        throw new EngineFatal(
          `The journal of the store is damaged: commit ${next} is missing, and ${revision} is there.`,
        )
      next = revision + commits.length
    }
    return records
  }

  /** Whether these fit into the current file. */
  hasRoom(commits: Commits): boolean {
    return this.#offset + recordBytesMax(commits) <= this.#bytes
  }

  /** The other file is written from its beginning: what it holds is in LMDB. */
  turn(): void {
    this.#current = 1 - this.#current
    this.#offset = 0
    this.#use = newUse()
  }

  /** Resolves when the disk has them; `revision` is that of the first, and the others follow it. Whoever calls waits for one before the next. */
  async append(revision: number, commits: Commits): Promise<void> {
    const room = recordBytesMax(commits)
    if (this.#buffer.length < room) this.#buffer = Buffer.alloc(room)
    const length = encodeRecord(this.#buffer, { revision, use: this.#use, commits }, this.#salt)
    const handle = this.#handles[this.#current]!
    await this.#write(handle.fd, length)
    if (!isSyncedByWriting) await handle.datasync()
    this.#offset += length
  }

  /** Of all that is done for a commit this is the only thing that waits, so it is done without the promises of the handle. */
  #write(file: number, length: number): Promise<void> {
    return new Promise((resolve, reject) => {
      write(file, this.#buffer, 0, length, this.#offset, (error, written) => {
        if (error) reject(error)
        else if (written === length) resolve()
        else reject(new Error(`only ${written} of ${length} bytes were written to the journal`))
      })
    })
  }

  async close(): Promise<void> {
    await Promise.all(this.#handles.map(handle => handle.close()))
  }
}

function newUse(): bigint {
  return BigInt(`0x${randomHex(systemRandom, USE_BYTES)}`)
}

async function contentOf(handle: FileHandle): Promise<Buffer> {
  const { size } = await handle.stat()
  const content = Buffer.alloc(size)
  for (let offset = 0; offset < size; ) {
    const { bytesRead } = await handle.read(content, offset, size - offset, offset)
    if (bytesRead === 0) break
    offset += bytesRead
  }
  return content
}

/** Of one file: those of its last use, up to the first that is not whole. */
function recordsIn(content: Buffer, { after, salt }: { after: number; salt: number }): JournalRecord[] {
  const records: JournalRecord[] = []
  let offset = 0
  let last: JournalRecord | null = null
  for (;;) {
    const found = decodeRecord(content.subarray(offset), salt)
    // What follows may be left from an earlier use.
    if (!found || (last && !follows(found.record, last))) break
    last = found.record
    if (last.revision + last.commits.length - 1 > after) records.push(last)
    offset += found.length
  }
  refuseHoles(content, offset, { last, after, salt })
  return records
}

function follows({ use, revision }: JournalRecord, before: JournalRecord): boolean {
  return use === before.use && revision === before.revision + before.commits.length
}

/** No record of the same use lies behind the last: it would have been written after another that is lost. */
function refuseHoles(
  content: Buffer,
  from: number,
  { last, after, salt }: { last: JournalRecord | null; after: number; salt: number },
): void {
  for (let offset = from; offset < content.length; offset += BLOCK_BYTES) {
    const record = decodeRecord(content.subarray(offset), salt)?.record
    if (!record || record.revision <= after || (last !== null && record.use !== last.use)) continue
    throw new EngineFatal(`The journal of the store is damaged before commit ${record.revision}, which it still has.`)
  }
}
