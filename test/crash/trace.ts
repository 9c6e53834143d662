/** Reads what strace has written of a load: the writes and syncs of the files of the store, and what was said between them. */
import { basename, dirname, relative, resolve } from 'node:path'
import type { Event, File, Mark } from './recording.ts'

/** All by which a process can change a file, or have it kept. */
export const calls = [
  ...['open', 'openat', 'openat2', 'creat', 'close', 'dup', 'dup2', 'dup3', 'lseek', 'mmap', 'io_uring_enter'],
  ...['truncate', 'ftruncate', 'fallocate', 'copy_file_range', 'sendfile', 'splice'],
  ...['link', 'linkat', 'rename', 'renameat', 'renameat2', 'unlink', 'unlinkat'],
  ...['write', 'writev', 'pwrite64', 'pwritev', 'pwritev2', 'fdatasync', 'fsync', 'msync', 'sync_file_range'],
]

/** Of one string that strace shows: more than any write of the store is long. */
export const SHOWN_BYTES_MAX = 8 * 1024 * 1024
/** What LMDB writes in, and what the disk is asked to take at once. */
export const PAGE_BYTES = 4_096
/** So many moments are in a write at the most, however long it is. */
const PIECES_MAX = 8
/** Of these nothing is expected after a power cut: who reads, who holds the store. */
export const isNoMatter = (path: string) => /^(lock\.mdb|holder)/.test(basename(path))

/** What one life of the process knows of the disk, and the next has to. */
export type Known = {
  /** Of the store. */
  readonly folder: string
  calls: number
  /** By the path that it has now. */
  readonly files: Map<string, File>
  /** What the folder calls a file, and has not been synced since. */
  readonly namesOpen: Map<string, File | null>
  /** Calls that have returned and are not known to last. */
  readonly done: Map<number, File>
  /** Calls that have begun and have not returned well. */
  readonly begun: Map<number, File>
}

export function nothingKnown(folder: string): Known {
  return { folder, calls: 0, files: new Map(), namesOpen: new Map(), done: new Map(), begun: new Map() }
}

type Line = { thread: string; name: string; text: string; isBegun: boolean; isDone: boolean }

/** A call during which another thread made one comes in two halves; the second is given the beginning of the first. */
function* linesOf(trace: string): Generator<Line> {
  const halves = new Map<string, string>()
  for (const line of trace.split('\n')) {
    const [, thread = '', call = ''] = /^(\d+)\s+(.*)$/.exec(line) ?? []
    // The process was killed in the middle of one that is `detached`.
    const unfinished = / <(unfinished|detached) \.\.\.>$/.test(call.slice(-20))
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(call)?.[1]
    const begun = unfinished ? call.slice(0, call.lastIndexOf(' <')) : call
    const text = resumed === undefined ? begun : `${halves.get(thread) ?? ''}${resumed}`
    const name = /^(\w+)\(/.exec(text)?.[1] ?? ''
    if (unfinished) halves.set(thread, begun)
    if (name !== '') yield { thread, name, text, isBegun: resumed === undefined, isDone: !unfinished }
  }
}

/**
 * Throws when a file could be changed in a way that is not seen here: a recording with holes shows nothing. `isEndLost`: the process was killed a
 * moment sooner, in the last call that the disk was asked by: what that wrote is in the kernel's memory, and not known to last.
 */
export function eventsOf(trace: string, known: Known, { isEndLost }: { isEndLost: boolean }): Event[] {
  const reader = new Reader(known)
  for (const line of linesOf(trace)) reader.read(line)
  const { events } = reader
  const last = events.at(-1)
  if (isEndLost && last?.type === 'synced') {
    events.pop()
    for (const call of last.calls) known.done.set(call, last.file)
  }
  return events
}

type Descriptor = { file: File; isSyncing: boolean; place: number }

class Reader {
  readonly events: Event[] = []
  readonly #known: Known
  readonly #descriptors = new Map<string, Descriptor>()
  /** By thread: the call under way, and how much it is to write. */
  readonly #under = new Map<string, { call: number; length: number }>()
  /** By thread: what had been done to the file, or to the names, when its sync began. */
  readonly #syncing = new Map<string, number[]>()
  readonly #namesSyncing = new Map<string, Map<string, File | null>>()

  constructor(known: Known) {
    this.#known = known
  }

  read(line: Line): void {
    const { name, text, isBegun, isDone } = line
    if (/^(open|creat)/.test(name)) {
      if (isDone) this.#opened(text)
    } else if (/^(link|rename|unlink)/.test(name)) {
      if (isDone && text.endsWith(' = 0')) this.#renamed(name, text)
    } else if (name === 'truncate') this.#refuseOurs(text)
    else if (name === 'mmap') this.#mapped(text)
    else this.#described(line)
    if (name === 'write' && isBegun && /^write\(1[<,]/.test(text)) this.#said(text)
  }

  /** A call that is given a descriptor. */
  #described(line: Line): void {
    const { thread, name, text, isBegun, isDone } = line
    if (name === 'fsync' && annotated(text) === this.#known.folder) this.#namesSynced(line)
    const descriptor = /^\w+\((\d+)[<,)]/.exec(text)?.[1] ?? ''
    const open = this.#descriptors.get(descriptor)
    // A copy may go to a file that the call names second.
    if (/^(copy_file_range|sendfile|splice|dup)/.test(name)) return this.#refuseOurs(text)
    if (!open) return
    if (name === 'close') {
      if (isDone) this.#descriptors.delete(descriptor)
    } else if (name === 'lseek') {
      if (isDone) open.place = Number(/= (\d+)$/.exec(text)?.[1])
    } else if (/^(fdatasync|fsync)$/.test(name)) this.#synced(line, open.file)
    else if (/^(pwrite64|pwritev|write|writev|ftruncate|fallocate)$/.test(name)) {
      if (isBegun && name.includes('write')) this.#written(line, open)
      else if (isBegun) this.#sized(line, open)
      if (isDone) this.#finished(thread, { text, isSyncing: open.isSyncing && name.includes('write') })
    } else throw new Error(`unforeseen: ${text.slice(0, 200)}`)
  }

  #isOurs(path: string): boolean {
    return path.startsWith(`${this.#known.folder}/`) && !isNoMatter(path)
  }

  #refuseOurs(text: string): void {
    const paths = [...text.matchAll(/["<]((?:\\x..)+)[">]/g)].map(([, path = '']) => bytesOf(path).toString())
    if (paths.some(path => this.#isOurs(path))) throw new Error(`unforeseen: ${text.slice(0, 200)}`)
  }

  #opened(text: string): void {
    const [, flags = '', descriptor = '', shown = ''] =
      /, ([A-Z_|]+)(?:, \d+)?\s*\) += (\d+)<((?:\\x..)*)>$/.exec(text) ?? []
    const path = bytesOf(shown).toString()
    if (descriptor === '' || !this.#isOurs(path)) {
      // Of a way to open that is not understood only the name is.
      if (/ = \d/.test(text) && descriptor === '') this.#refuseOurs(text)
      return
    }
    if (flags.includes('O_DIRECTORY') || this.#isFolder(text, path)) return
    if (/O_TRUNC|O_APPEND|O_TMPFILE/.test(flags)) throw new Error(`unforeseen: ${flags} of ${path}`)
    let file = this.#known.files.get(path)
    if (file === undefined) {
      if (!flags.includes('O_CREAT')) throw new Error(`nobody was seen to make ${path}`)
      file = relative(this.#known.folder, path)
      // Two contents under one name of birth could not be told apart.
      if ([...this.#known.files.values(), ...this.#known.done.values()].includes(file))
        throw new Error(`unforeseen: ${path} is made again`)
      this.#known.files.set(path, file)
      this.#named(path, file)
    }
    this.#descriptors.set(descriptor, { file, isSyncing: /O_D?SYNC/.test(flags), place: 0 })
  }

  /** A folder in which something is made before it gets its name. */
  #isFolder(text: string, path: string): boolean {
    return !/O_CREAT|O_WRONLY|O_RDWR/.test(text) && !this.#known.files.has(path)
  }

  #renamed(name: string, text: string): void {
    const [from = '', to = ''] = pathsOf(text)
    const { files } = this.#known
    const file = files.get(from)
    if (!name.startsWith('unlink')) {
      if (file === undefined && !this.#isOurs(to)) return
      if (file === undefined || (name.startsWith('link') && files.has(to)) || name === 'renameat2' || name === 'linkat')
        throw new Error(`unforeseen: ${name} ${from} ${to}`)
      files.set(to, file)
      this.#named(to, file)
    }
    if (file === undefined || name === 'link') return
    files.delete(from)
    this.#named(from, null)
  }

  /** To be found under the name, until the power goes. What lies in a folder within is not to be found after it. */
  #named(path: string, file: File | null): void {
    if (dirname(path) !== this.#known.folder) return
    const name = basename(path)
    this.#known.namesOpen.set(name, file)
    this.events.push({ type: 'named', name, file, isLasting: false })
  }

  #namesSynced({ thread, text, isBegun, isDone }: Line): void {
    const { namesOpen } = this.#known
    if (isBegun) this.#namesSyncing.set(thread, new Map(namesOpen))
    if (!isDone || !text.endsWith(' = 0')) return
    for (const [name, file] of this.#namesSyncing.get(thread) ?? []) {
      if (namesOpen.get(name) !== file) continue
      namesOpen.delete(name)
      this.events.push({ type: 'named', name, file, isLasting: true })
    }
  }

  #mapped(text: string): void {
    if (text.includes('PROT_WRITE') && !text.includes('MAP_PRIVATE') && this.#isOurs(annotated(text)))
      throw new Error('the store writes through a mapping')
  }

  #said(text: string): void {
    const said = Buffer.concat(stringsOf(text)).toString()
    // One line is one mark, of our own making.
    if (said.startsWith('{')) this.events.push({ type: 'mark', mark: JSON.parse(said) as Mark })
  }

  #begun(thread: string, { file, length }: { file: File; length: number }): number {
    const call = ++this.#known.calls
    this.#under.set(thread, { call, length })
    this.#known.begun.set(call, file)
    return call
  }

  #written({ thread, name, text }: Line, open: Descriptor): void {
    const { file } = open
    const bytes = Buffer.concat(stringsOf(text))
    const isPlaced = name.startsWith('p')
    const rest = text.slice(text.lastIndexOf('"'))
    const from = isPlaced ? Number(/, (\d+)\s*(?:\) += .*)?$/.exec(rest)?.[1]) : open.place
    if (!Number.isInteger(from) || bytes.length === 0) throw new Error(`not understood: ${text.slice(-200)}`)
    if (!isPlaced) open.place += bytes.length
    const call = this.#begun(thread, { file, length: bytes.length })
    const pages = Math.ceil(bytes.length / PAGE_BYTES / PIECES_MAX)
    for (let offset = from; offset < from + bytes.length; ) {
      const end = Math.min(from + bytes.length, (Math.floor(offset / PAGE_BYTES) + pages) * PAGE_BYTES)
      this.events.push({ type: 'written', file, call, offset, bytes: bytes.subarray(offset - from, end - from) })
      offset = end
    }
  }

  #sized({ thread, name, text }: Line, { file }: Descriptor): void {
    // Of `fallocate` only that which makes a file longer.
    const [, from = '', more = ''] = (name === 'fallocate' ? /, 0, (\d+), (\d+)\b/ : /(, )(\d+)\b/).exec(text) ?? []
    if (more === '') throw new Error(`unforeseen: ${text.slice(0, 200)}`)
    const isGrown = name === 'fallocate'
    const length = Number(more) + (isGrown ? Number(from) : 0)
    const call = this.#begun(thread, { file, length: 0 })
    this.events.push({ type: 'sized', file, call, length, isGrown })
  }

  /** A call has returned. One that was killed in the middle never does, and is not known to last before a later sync. */
  #finished(thread: string, { text, isSyncing }: { text: string; isSyncing: boolean }): void {
    const under = this.#under.get(thread)
    const returned = /\) += (\d+)$/.exec(text.slice(-100))?.[1]
    this.#under.delete(thread)
    if (!under || returned === undefined) return
    const { call, length } = under
    if (Number(returned) !== length) throw new Error(`unforeseen: ${returned} of ${length} bytes were written`)
    const file = this.#known.begun.get(call)!
    this.#known.begun.delete(call)
    if (isSyncing) this.events.push({ type: 'synced', file, calls: [call] })
    else this.#known.done.set(call, file)
  }

  #synced({ thread, isBegun, isDone, text }: Line, file: File): void {
    const { done } = this.#known
    if (isBegun)
      this.#syncing.set(
        thread,
        [...done].filter(([, of]) => of === file).map(([call]) => call),
      )
    if (!isDone || !/\) += 0$/.test(text)) return
    const calls = (this.#syncing.get(thread) ?? []).filter(call => done.delete(call))
    if (calls.length > 0) this.events.push({ type: 'synced', file, calls })
  }
}

/** The path of the first descriptor that is given. */
function annotated(text: string): string {
  return bytesOf(/\d<((?:\\x..)*)>/.exec(text)?.[1] ?? '').toString()
}

function pathsOf(text: string): string[] {
  const given = [...text.matchAll(/(?:<((?:\\x..)*)>, )?"((?:\\x..)*)"/g)]
  return given.map(([, from = '', path = '']) => resolve(bytesOf(from).toString(), bytesOf(path).toString()))
}

/** What is in quotes; by hand, as it may be millions of characters long. */
function stringsOf(text: string): Buffer[] {
  const strings: Buffer[] = []
  for (let from = text.indexOf('"'); from !== -1; ) {
    const to = text.indexOf('"', from + 1)
    if (to === -1 || text.startsWith('...', to + 1))
      throw new Error('a write is longer than what was asked to be shown')
    strings.push(bytesOf(text.slice(from + 1, to)))
    from = text.indexOf('"', to + 1)
  }
  return strings
}

function bytesOf(shown: string): Buffer {
  return Buffer.from(shown.replaceAll('\\x', ''), 'hex')
}
