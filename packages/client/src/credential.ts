/** What proves who this client is: a key that stays, or one that is asked for whenever it is needed, as tokens that expire are. */
import { HoldfastError } from '@holdfast/protocol/errors'
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

  /** Rejects with what the function threw, and with what no header can carry. */
  async ask(): Promise<void> {
    if (typeof this.#source === 'function') this.#current = await this.#source()
    refuseUnfit(this.#current)
  }
}

/** The platform's own error would print it. */
function refuseUnfit(key: string | undefined): void {
  if (key === undefined || /^[\x20-\x7e]+$/.test(key)) return
  throw new HoldfastError(
    'unauthenticated',
    'The API key is empty, or has a line break or another character that no key has.',
  )
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
