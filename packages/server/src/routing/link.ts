/**
 * Another server, asked over one connection that carries everything. It is made when there is something to ask and made again when it breaks, until
 * the server is known to be dead. What was sent over a connection that broke has an unknown outcome; what was not sent has surely not
 * been taken.
 */
import type { HoldfastError } from '@holdfast/protocol/errors'
import type { Clock } from '../clock.ts'
import type { Command } from '../locks/model.ts'
import { NotTaken, unknownOutcome } from '../shards/callers.ts'
import type { Asking, History, HistoryOptions, SessionPush, Submitted, WatchFilter, WatchSink } from '../shards/port.ts'
import { type Asked, errorOf, Frames, type Said } from './messages.ts'
import type { Peer } from './peer.ts'
import type { Dial, Transport } from './transport.ts'

/** A server that could be reached and cannot be for so long is complained about: a handshake and two pulses have failed. */
export const COMPLAINT_MS = 5_000
/** One that has never been reached may be starting: it listens when it has read its shards. */
export const FIRST_COMPLAINT_MS = 30_000
/** A server that has just been started, or cut off for a moment, is soon there again. */
const REDIAL_MS = 200

type Open =
  | { kind: 'ask'; asking: Asking }
  | { kind: 'watch'; sink: WatchSink }
  | { kind: 'history'; resolve: (history: History) => void; reject: (error: unknown) => void }
  | { kind: 'listen'; message: Asked; push: (push: SessionPush) => void }

export class Link implements Peer {
  readonly #dial: Dial
  readonly #clock: Clock
  readonly #open = new Map<number, Open>()
  #transport: Transport | null = null
  #frames: Frames<Asked> | null = null
  /** Said before the connection stood. */
  #early: Asked[] = []
  #lastId = 0
  #cancelRedial: (() => void) | null = null
  #isCut = false
  /** It is to stand whether there is something to say or not. */
  #isKept = false
  /** null: it stands. */
  #downSinceMs: number | null
  #hasStood = false

  constructor({ dial, clock }: { dial: Dial; clock: Clock }) {
    this.#dial = dial
    this.#clock = clock
    this.#downSinceMs = clock.hrtimeMs()
  }

  /** From now on the connection is made, and made again, though there is nothing to ask. */
  keep(): void {
    if (this.#isKept || this.#isCut) return
    this.#isKept = true
    if (!this.#transport && !this.#cancelRedial) this.#connect()
  }

  /** It has been tried for long enough to say so. */
  get isUnreachable(): boolean {
    if (this.#downSinceMs === null || !this.#isKept) return false
    return this.#clock.hrtimeMs() - this.#downSinceMs >= (this.#hasStood ? COMPLAINT_MS : FIRST_COMPLAINT_MS)
  }

  submit(instance: string, command: Command, asking: Asking): Submitted {
    const id = this.#begin({ kind: 'ask', asking })
    if (id === null) return this.#refuse(() => asking.fail(new NotTaken()))
    const keeps = asking.keepsSessionAlive === true && { keeps: true as const }
    this.#say({ type: 'ask', id, instance, command, ...keeps })
    return { detach: () => this.#stop(id) }
  }

  watch(instance: string, filter: WatchFilter, sink: WatchSink): { stop(): void } {
    const id = this.#begin({ kind: 'watch', sink })
    if (id === null) return { stop: this.#refuse(() => sink.ended()).detach }
    this.#say({ type: 'watch', id, instance, filter })
    return { stop: () => this.#stop(id) }
  }

  history(instance: string, options: HistoryOptions): Promise<History> {
    return new Promise((resolve, reject) => {
      const id = this.#begin({ kind: 'history', resolve, reject })
      if (id === null) reject(new NotTaken())
      else this.#say({ type: 'history', id, instance, options })
    })
  }

  listen(instance: string, session: string, push: (push: SessionPush) => void): { stop(): void } {
    const message: Asked = { type: 'listen', id: this.#lastId + 1, instance, session }
    const id = this.#begin({ kind: 'listen', message, push })
    if (id === null) return { stop: () => undefined }
    this.#say(message)
    return { stop: () => this.#stop(id) }
  }

  tell(): void {
    if (this.#frames) this.#say({ type: 'told' })
  }

  /** The server is dead, or we are leaving. */
  cut(): void {
    this.#isCut = true
    this.#cancelRedial?.()
    this.#transport?.close()
    this.#lose()
  }

  #begin(open: Open): number | null {
    if (this.#isCut) return null
    this.#open.set(++this.#lastId, open)
    return this.#lastId
  }

  #refuse(refuse: () => void): { detach(): void } {
    this.#clock.afterPoll(refuse)
    return { detach: () => undefined }
  }

  #say(message: Asked): void {
    if (this.#frames) return this.#frames.say(message)
    this.#early.push(message)
    if (!this.#transport && !this.#cancelRedial) this.#connect()
  }

  #stop(id: number): void {
    if (this.#open.delete(id)) this.#say({ type: 'stop', id })
  }

  #connect(): void {
    this.#cancelRedial = null
    const transport = this.#dial({
      opened: () => {
        if (this.#transport !== transport) return
        this.#downSinceMs = null
        this.#hasStood = true
        const frames = new Frames<Asked>(transport, this.#clock)
        this.#frames = frames
        for (const message of this.#early.splice(0)) frames.say(message)
      },
      frame: text => {
        if (this.#transport === transport) this.#heard(text)
      },
      closed: () => {
        if (this.#transport === transport) this.#lose()
      },
    })
    this.#transport = transport
  }

  #heard(text: string): void {
    // Written by the same code at the other end, which has proved who it is.
    for (const said of JSON.parse(text) as Said[]) this.#said(said)
  }

  #said(said: Said): void {
    const open = this.#open.get(said.id)
    // Stopped while this was on its way.
    if (!open) return
    switch (said.type) {
      case 'queued':
        return open.kind === 'ask' ? open.asking.queued?.(said.place) : undefined
      case 'began':
        return open.kind === 'watch' ? open.sink.began(said.cursor) : undefined
      case 'reset':
        return open.kind === 'watch' ? open.sink.reset(said.cursor) : undefined
      case 'event':
        if (open.kind === 'watch' && !open.sink.event(said.event)) this.#stop(said.id)
        return
      case 'push':
        return open.kind === 'listen' ? open.push(said.push) : undefined
      case 'answer':
        this.#open.delete(said.id)
        return open.kind === 'ask' ? open.asking.answer(said.answer) : undefined
      case 'history':
        this.#open.delete(said.id)
        return open.kind === 'history' ? open.resolve(said.history) : undefined
      case 'ended':
        this.#open.delete(said.id)
        return open.kind === 'watch' ? open.sink.ended(said.cursor) : undefined
      case 'refused':
        this.#open.delete(said.id)
        return open.kind === 'watch' ? open.sink.refused(said.refusal) : undefined
      case 'fail':
        this.#open.delete(said.id)
        return failed(open, errorOf(said.error))
    }
  }

  /** The connection has gone, with all that was said over it. */
  #lose(): void {
    const unsent = new Set(this.#early.flatMap(message => ('id' in message ? [message.id] : [])))
    this.#early = []
    this.#transport = null
    this.#frames = null
    this.#downSinceMs ??= this.#clock.hrtimeMs()
    const lost = [...this.#open]
    this.#open.clear()
    for (const [id, open] of lost) {
      if (open.kind === 'listen' && !this.#isCut) {
        this.#open.set(id, open)
        this.#early.push(open.message)
      } else failed(open, unsent.has(id) ? new NotTaken() : unknownOutcome())
    }
    const isNeeded = (this.#early.length > 0 || this.#isKept) && !this.#isCut && this.#transport === null
    if (isNeeded) this.#cancelRedial ??= this.#clock.after(REDIAL_MS, () => this.#connect())
  }
}

function failed(open: Open, error: HoldfastError): void {
  if (open.kind === 'ask') open.asking.fail(error)
  else if (open.kind === 'watch') open.sink.ended()
  else if (open.kind === 'history') open.reject(error)
}
