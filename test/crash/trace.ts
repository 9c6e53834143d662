/** Reads what strace has written of a load: the writes and syncs of the data file, and what was said between them. */
import type { Event, Mark } from './recording.ts'

/** All by which a process can change a file, or have it kept. */
export const calls = [
  ...[
    'openat',
    'close',
    'lseek',
    'mmap',
    'ftruncate',
    'fallocate',
    'link',
    'linkat',
    'rename',
    'unlink',
    'io_uring_enter',
  ],
  ...['write', 'writev', 'pwrite64', 'pwritev', 'pwritev2', 'fdatasync', 'fsync', 'msync', 'sync_file_range'],
]

/** Of one string that strace shows: more than any write of the store is long. */
export const SHOWN_BYTES_MAX = 4 * 1024 * 1024
/** What LMDB writes in, and what the disk is asked to take at once. */
export const PAGE_BYTES = 4_096
const DATA_FILE = 'data.mdb'
/** The folder that a store is made in, before it gets its name. */
const UNNAMED = '/new-'

type Line = { thread: string; name: string; text: string; isBegun: boolean; isDone: boolean }

/** A call during which another thread made one comes in two halves; the second is given the beginning of the first. */
function* linesOf(trace: string): Generator<Line> {
  const halves = new Map<string, string>()
  for (const line of trace.split('\n')) {
    const [, thread = '', call = ''] = /^(\d+)\s+(.*)$/.exec(line) ?? []
    const unfinished = call.endsWith('<unfinished ...>')
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(call)?.[1]
    const begun = unfinished ? call.slice(0, -'<unfinished ...>'.length) : call
    const text = resumed === undefined ? begun : `${halves.get(thread) ?? ''}${resumed}`
    const name = /^(\w+)\(/.exec(text)?.[1] ?? ''
    if (unfinished) halves.set(thread, begun)
    if (name !== '') yield { thread, name, text, isBegun: resumed === undefined, isDone: !unfinished }
  }
}

/** Throws when the file could be changed in a way that is not seen here: a recording with holes shows nothing. */
export function eventsOf(trace: string, before: { calls: number }): Event[] {
  const reader = new Reader(before.calls)
  for (const line of linesOf(trace)) reader.read(line)
  before.calls = reader.calls
  return reader.events
}

class Reader {
  readonly events: Event[] = []
  calls: number
  /** Descriptors of the data file, and whether a write to them lasts when it returns. */
  readonly #files = new Map<string, { isSyncing: boolean; place: number }>()
  /** Calls that have returned and are not known to last. */
  readonly #done = new Set<number>()
  /** By thread: the call under way. */
  readonly #under = new Map<string, number>()
  /** By thread: what had been done when its sync began. */
  readonly #syncing = new Map<string, number[]>()

  #names = 0
  readonly #namesSyncing = new Map<string, number>()

  constructor(calls: number) {
    this.calls = calls
  }

  read({ thread, name, text, isBegun, isDone }: Line): void {
    if (name === 'openat' && isDone) this.#opened(text)
    if (name.startsWith('link') && isDone && text.endsWith(' = 0')) this.#named(text)
    const descriptor = /^\w+\((\d+)[<,)]/.exec(text)?.[1] ?? ''
    if (name === 'write' && descriptor === '1' && isBegun) this.#said(text)
    if (name === 'mmap' && isBegun) refuseMapping(text)
    if (name === 'fsync') this.#nameSynced(thread, { isBegun, isDone, text })
    const file = this.#files.get(descriptor)
    if (!file) return
    if (name === 'close' && isDone) this.#files.delete(descriptor)
    else if (name === 'lseek' && isDone) file.place = Number(/= (\d+)$/.exec(text)?.[1])
    else if (/^p?write/.test(name) && isBegun) this.#written(thread, text, { name, file })
    else if (name === 'ftruncate' && isBegun) this.#sized(thread, Number(/, (\d+)/.exec(text)?.[1]))
    else if (name === 'fdatasync' || name === 'fsync') this.#synced(thread, { isBegun, isDone, text })
    else if (['fallocate', 'msync', 'sync_file_range'].includes(name)) throw new Error(`unforeseen: ${text}`)
    if (isDone && /^p?write|^ftruncate/.test(name)) this.#finished(thread, { text, isSyncing: file.isSyncing })
  }

  #opened(text: string): void {
    const [, path = '', flags = '', descriptor = ''] = /, "((?:\\x..)*)", (\S+?)(?:, \d+)?\) = (\d+)/.exec(text) ?? []
    if (descriptor === '' || !bytesOf(path).toString().endsWith(DATA_FILE)) return
    if (/O_TRUNC/.test(flags)) throw new Error(`unforeseen: ${text}`)
    if (/O_CREAT/.test(flags) && !bytesOf(path).includes(UNNAMED)) this.#named()
    this.#files.set(descriptor, { isSyncing: /O_D?SYNC/.test(flags), place: 0 })
  }

  /** The file is to be found under its name, until the power goes. */
  #named(text?: string): void {
    const to = text === undefined ? null : bytesOf([...text.matchAll(/"((?:\\x..)*)"/g)].at(-1)?.[1] ?? '').toString()
    if (to !== null && !to.endsWith(DATA_FILE)) return
    if (this.#names === 0) this.events.push({ type: 'named', isLasting: false })
    this.#names++
  }

  /** A folder has been synced: the one that the store lies in, for nothing here syncs another after the file has its name. */
  #nameSynced(thread: string, { isBegun, isDone, text }: { isBegun: boolean; isDone: boolean; text: string }): void {
    if (
      bytesOf(/<((?:\\x..)*)>/.exec(text)?.[1] ?? '')
        .toString()
        .endsWith(DATA_FILE)
    )
      return
    if (isBegun) this.#namesSyncing.set(thread, this.#names)
    if (isDone && text.endsWith(' = 0') && (this.#namesSyncing.get(thread) ?? 0) > 0)
      this.events.push({ type: 'named', isLasting: true })
  }

  #said(text: string): void {
    const said = bytesOf(/"((?:\\x..)*)"/.exec(text)?.[1] ?? '').toString()
    // One line is one mark, of our own making.
    if (said.startsWith('{')) this.events.push({ type: 'mark', mark: JSON.parse(said) as Mark })
  }

  #written(thread: string, text: string, { name, file }: { name: string; file: { place: number } }): void {
    if (name === 'pwritev2') throw new Error(`unforeseen: ${text.slice(0, 200)}`)
    const shown = [...text.matchAll(/"((?:\\x..)*)"(\.\.\.)?/g)]
    if (shown.some(([, , more]) => more)) throw new Error('a write is longer than what was asked to be shown')
    const bytes = Buffer.concat(shown.map(([, string = '']) => bytesOf(string)))
    const isPlaced = name.startsWith('p')
    const from = isPlaced ? Number(/, (\d+)\s*(?:\) += .*)?$/.exec(text)?.[1]) : file.place
    if (!Number.isInteger(from) || bytes.length === 0) throw new Error(`not understood: ${text.slice(-200)}`)
    if (!isPlaced) file.place += bytes.length
    const call = ++this.calls
    this.#under.set(thread, call)
    for (let offset = from; offset < from + bytes.length; ) {
      const end = Math.min(from + bytes.length, (Math.floor(offset / PAGE_BYTES) + 1) * PAGE_BYTES)
      this.events.push({ type: 'written', call, offset, bytes: bytes.subarray(offset - from, end - from) })
      offset = end
    }
  }

  #sized(thread: string, length: number): void {
    const call = ++this.calls
    this.#under.set(thread, call)
    this.events.push({ type: 'sized', call, length })
  }

  /** A write has returned. One that was killed in the middle never does, and is never known to last. */
  #finished(thread: string, { text, isSyncing }: { text: string; isSyncing: boolean }): void {
    const call = this.#under.get(thread)
    if (call === undefined || !/\) += \d+$/.test(text)) return
    this.#under.delete(thread)
    if (isSyncing) this.events.push({ type: 'synced', calls: [call] })
    else this.#done.add(call)
  }

  #synced(thread: string, { isBegun, isDone, text }: { isBegun: boolean; isDone: boolean; text: string }): void {
    if (isBegun) this.#syncing.set(thread, [...this.#done])
    if (!isDone || !/\) += 0$/.test(text)) return
    const calls = (this.#syncing.get(thread) ?? []).filter(call => this.#done.delete(call))
    if (calls.length > 0) this.events.push({ type: 'synced', calls })
  }
}

function refuseMapping(text: string): void {
  const path = bytesOf(/<((?:\\x..)*)>/.exec(text)?.[1] ?? '').toString()
  if (path.endsWith(DATA_FILE) && text.includes('PROT_WRITE')) throw new Error('the store writes through a mapping')
}

function bytesOf(shown: string): Buffer {
  return Buffer.from(shown.replaceAll('\\x', ''), 'hex')
}
