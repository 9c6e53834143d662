/**
 * What carries frames. Two implementations: the platform's WebSocket, and the scripted one that the tests of the session drive.
 */

export interface Transport {
  /** Hands one text frame over. What was handed over may be lost when the transport closes. */
  send(text: string): void
  /** `closed` follows, unless it has been called. */
  close(): void
}

/** In order: `opened` at most once, any number of `received`, then `closed` exactly once. */
export type TransportListener = {
  opened(): void
  received(text: string): void
  closed(why: string): void
}

export type OpenTransport = (url: string, listener: TransportListener) => Transport

/** What the library needs of a WebSocket: the platform's own, or `ws`. */
export interface WebSocketLike {
  send(text: string): void
  close(): void
  addEventListener(type: 'open' | 'error', listener: (event: { message?: unknown; error?: unknown }) => void): void
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void
  addEventListener(type: 'close', listener: (event: { code: number; reason: string }) => void): void
}

export type WebSocketClass = new (url: string) => WebSocketLike

export function webSocketTransport(Class: WebSocketClass): OpenTransport {
  return (url, listener) => {
    const socket = new Class(url)
    let isOpen = false
    let isClosed = false
    let failure = ''
    const closed = (why: string) => {
      if (isClosed) return
      isClosed = true
      listener.closed(why)
    }
    socket.addEventListener('open', () => {
      isOpen = true
      if (!isClosed) listener.opened()
    })
    socket.addEventListener('message', event => {
      if (!isClosed && typeof event.data === 'string') listener.received(event.data)
    })
    // `close` follows an error; only the error says why.
    socket.addEventListener('error', event => {
      failure = describe(event)
    })
    socket.addEventListener('close', event => {
      // Platforms do not tell programs why a connection could not be opened.
      const ending = isOpen ? `the connection closed (${event.code})` : 'no connection could be opened'
      closed(event.reason || failure || ending)
    })
    return {
      send: text => socket.send(text),
      close() {
        socket.close()
        // A half-open connection would answer the closing handshake only after minutes.
        closed('closed by this side')
      },
    }
  }
}

function describe(event: { message?: unknown; error?: unknown }): string {
  if (event.error instanceof Error) {
    const { cause } = event.error
    const detail = cause instanceof Error ? cause.message : ''
    return [event.error.message, detail].filter(text => text !== '').join(': ')
  }
  return typeof event.message === 'string' ? event.message : ''
}
