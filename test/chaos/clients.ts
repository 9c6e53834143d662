/** The processes on the clients' side: the clients themselves, and what their locks protect. */
import { type ChildProcess, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { nodeFlags } from '../../scripts/node.mjs'
import type { Line } from './client/history.ts'
import { linesOf } from './client/history.ts'
import type { ClientConfig } from './client/process.ts'
import type { Attempt } from './judging.ts'
import { nowMs } from './record/recorder.ts'

const clientMain = fileURLToPath(new URL('client/process.ts', import.meta.url))
const crowdMain = fileURLToPath(new URL('client/crowd.ts', import.meta.url))
const resourceMain = fileURLToPath(new URL('resource/process.ts', import.meta.url))

export class Process {
  readonly child: ChildProcess
  readonly exited: Promise<void>
  readonly #said = new Set<string>()
  readonly #waiting = new Set<() => void>()
  output = ''

  constructor(file: string, args: string[], env: NodeJS.ProcessEnv = {}) {
    this.child = spawn(process.execPath, [...nodeFlags, file, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...env },
    })
    this.exited = new Promise(resolve => this.child.once('exit', () => resolve()))
    this.child.stdin?.on('error', () => {
      // It is gone, and `exited` says so.
    })
    this.child.stderr?.on('data', (data: Buffer) => {
      this.output = (this.output + data.toString()).slice(-16_384)
    })
    const lines = createInterface({ input: this.child.stdout! }) // it is a pipe
    lines.on('line', line => this.heard(line))
    void this.exited.then(() => this.#wake())
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null
  }

  heard(line: string): void {
    this.#said.add(line)
    this.#wake()
  }

  tell(text: string): void {
    if (this.isRunning) this.child.stdin?.write(`${text}\n`)
  }

  /** The first line that it has said or will say. @throws when it ends before. */
  async line(of: (line: string) => boolean = () => true): Promise<string> {
    for (;;) {
      for (const line of this.#said) if (of(line)) return line
      if (!this.isRunning) throw new Error(`a process has ended: ${this.output}`)
      await new Promise<void>(resolve => this.#waiting.add(resolve))
    }
  }

  has(line: string): boolean {
    return this.#said.has(line)
  }

  #wake(): void {
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
  }
}

export class ClientHandle extends Process {
  readonly config: ClientConfig
  diedMs: number | null = null
  /** It has stopped itself between a check and a write. */
  onPausing: (client: ClientHandle) => void = () => undefined

  constructor(config: ClientConfig, folder: string, env: NodeJS.ProcessEnv = {}) {
    const path = `${folder}/client-${config.index}.json`
    writeFileSync(path, JSON.stringify(config))
    super(clientMain, [path], env)
    this.config = config
  }

  override heard(line: string): void {
    if (line === 'pausing') this.onPausing(this)
    else super.heard(line)
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    this.child.kill('SIGCONT')
    await this.exited
    this.diedMs = nowMs()
  }

  history(): Line[] {
    return linesOf<Line>(this.config.history)
  }
}

export class Resource extends Process {
  readonly #file: string

  constructor(folder: string) {
    const file = `${folder}/resource.jsonl`
    super(resourceMain, [file])
    this.#file = file
  }

  async port(): Promise<number> {
    return Number(await this.line())
  }

  attempts(): Attempt[] {
    return linesOf<Attempt>(this.#file)
  }
}

/** Sessions that do nothing but live. */
export class Crowd extends Process {
  constructor({ urls, count, ttlMs }: { urls: readonly string[]; count: number; ttlMs: number }) {
    super(crowdMain, [urls.join(), String(count), String(ttlMs)])
  }
}
