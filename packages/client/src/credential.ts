/** What proves who this client is: a key that stays, or one that is asked for whenever it is needed, as tokens that expire are. */
import type { OpenTransport, Transport } from './transport.ts'

/** A key, or a function that answers with the one to use now: called before each connection and each call over REST, so it should remember. */
export type ApiKey = string | (() => string | Promise<string>)

export class Credential {
  readonly #source: ApiKey | undefined
  #current: string | undefined

  constructor(source: ApiKey | undefined) {
    this.#source = source
    if (typeof source === 'string') this.#current = source
  }

  /** undefined: there is none, or it has not been asked for yet. */
  get authorization(): string | undefined {
    return this.#current === undefined ? undefined : `Bearer ${this.#current}`
  }

  /** Whether it has to be asked for. */
  get isAsked(): boolean {
    return typeof this.#source === 'function'
  }

  /** Rejects with what the function threw. */
  async ask(): Promise<void> {
    if (typeof this.#source === 'function') this.#current = await this.#source()
  }
}

/** Asks for the key first, and then opens. That it cannot be had is as if the service could not be reached: it is tried again. */
export function withCredential(open: OpenTransport, credential: Credential): OpenTransport {
  if (!credential.isAsked) return open
  return (url, listener) => {
    let opened: Transport | null = null
    let isClosed = false
    const closed = (why: string) => {
      if (isClosed) return
      isClosed = true
      listener.closed(why)
    }
    credential.ask().then(
      () => {
        if (!isClosed) opened = open(url, { ...listener, closed })
      },
      (error: unknown) => closed(`no credential: ${error instanceof Error ? error.message : String(error)}`),
    )
    return {
      send: text => opened?.send(text),
      close() {
        opened?.close()
        closed('closed by this side')
      },
    }
  }
}
