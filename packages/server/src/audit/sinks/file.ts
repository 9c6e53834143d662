/** A file of JSON lines. Synced before its records count as taken; begun anew when it has become large, and the old ones renamed. */
import { type FileHandle, mkdir, open, rename, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { AuditRecord } from '../record.ts'
import { lineOf, type Sink } from './sink.ts'

export type FileSinkOptions = {
  path: string
  bytesMax: number /** Old ones: `path.1` is the newest of them. */
  files: number
}

/** Not for everybody on the machine to read. */
const MODE = 0o640

export class FileSink implements Sink {
  readonly #options: FileSinkOptions
  #file: FileHandle | null = null
  #bytes = 0
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: FileSinkOptions) {
    this.#options = options
  }

  send(records: readonly AuditRecord[]): Promise<void> {
    const sent = this.#last.then(() => this.#append(records))
    this.#last = sent.catch(() => undefined)
    return sent
  }

  close(): void {
    this.#last = this.#last.then(() => this.#shut()).catch(() => undefined)
  }

  async #append(records: readonly AuditRecord[]): Promise<void> {
    const text = Buffer.from(records.map(record => `${lineOf(record)}\n`).join(''))
    try {
      // Somebody else may have moved or removed it: what is written there would be lost.
      if (this.#file && !(await isAt(this.#options.path, this.#file))) await this.#shut()
      if (this.#file && this.#bytes > 0 && this.#bytes + text.length > this.#options.bytesMax) await this.#rotate()
      const file = this.#file ?? (await this.#open())
      await file.appendFile(text)
      await file.datasync()
      this.#bytes += text.length
    } catch (error) {
      // A disk that was full may have room again; half a line is ended by the next open.
      await this.#shut()
      throw error
    }
  }

  async #open(): Promise<FileHandle> {
    const { path } = this.#options
    await mkdir(dirname(path), { recursive: true })
    const file = await open(path, 'a', MODE)
    this.#file = file
    this.#bytes = (await file.stat()).size
    if (this.#bytes > 0) await this.#endLine(file)
    return file
  }

  /** What was being written when the machine went down. */
  async #endLine(file: FileHandle): Promise<void> {
    const { path } = this.#options
    const reading = await open(path, 'r')
    try {
      const { buffer } = await reading.read(Buffer.alloc(1), 0, 1, this.#bytes - 1)
      if (buffer.toString() === '\n') return
      await file.appendFile('\n')
      this.#bytes++
    } finally {
      await reading.close()
    }
  }

  async #rotate(): Promise<void> {
    const { path, files } = this.#options
    await this.#shut()
    for (let number = files; number >= 1; number--) {
      const from = number === 1 ? path : `${path}.${number - 1}`
      if (await exists(from)) await rename(from, `${path}.${number}`)
    }
  }

  async #shut(): Promise<void> {
    const file = this.#file
    this.#file = null
    this.#bytes = 0
    await file?.close()
  }
}

async function isAt(path: string, file: FileHandle): Promise<boolean> {
  try {
    const [there, own] = await Promise.all([stat(path), file.stat()])
    return there.ino === own.ino && there.dev === own.dev
  } catch {
    // Nothing is there.
    return false
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch {
    // Nothing is there to be renamed.
    return false
  }
}
