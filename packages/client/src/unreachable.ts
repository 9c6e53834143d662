/** Why a service cannot be reached, as far as the platform tells, and what to do about it. */
import { timeoutSignal } from './clock.ts'
import type { OpenTransport, Transport } from './transport.ts'

/** Node's codes and sentences of certificates that it does not trust. */
const distrusted = /CERT|SELF_SIGNED|LEAF_SIGNATURE|certificate/
const PROBE_MS_MAX = 2_000

/** For people. `why`: what was found out; may be empty. */
export function unreachable(address: string, why: string): string {
  const reason = why === '' ? '' : ` (${why})`
  return `Cannot reach the Holdfast service at ${address}${reason}. ${adviceOn(why)}`
}

function adviceOn(why: string): string {
  // A browser does not tell a page that it was kept from asking.
  if (isPage()) return 'Is it running, and is the origin of this page among its `allowed_origins`?'
  if (distrusted.test(why))
    return 'Name the authority of its certificate in NODE_EXTRA_CA_CERTS, or with `--ca` on the command line.'
  if (why.endsWith('answer in time')) return 'If it runs, its store may be away: its `/readyz` says so.'
  return 'Is it running? Start it with `holdfast serve`, or set HOLDFAST_URL.'
}

function isPage(): boolean {
  return 'document' in globalThis
}

export function whyOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause instanceof Error ? error.cause : error
  if (cause.name === 'TimeoutError') return 'no answer in time'
  return 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message
}

/**
 * A WebSocket does not say why it could not be opened. As long as none has ever been, which is when an address, a certificate or a proxy is wrong,
 * the same server is asked over HTTP, which does.
 */
export function withCause(open: OpenTransport, send: typeof fetch): OpenTransport {
  if (isPage()) return open
  let hasOpened = false
  return (url, listener): Transport => {
    let isClosed = false
    const closed = (why: string) => {
      if (isClosed) return
      isClosed = true
      listener.closed(why)
    }
    const transport = open(url, {
      ...listener,
      opened: () => {
        hasOpened = true
        listener.opened()
      },
      closed: why => {
        // What this side has closed need not be asked about.
        if (hasOpened || isClosed) closed(why)
        else void probe(url, send).then(cause => closed(cause ?? why))
      },
    })
    return {
      send: text => transport.send(text),
      close() {
        closed('closed by this side')
        transport.close()
      },
    }
  }
}

/** null: it answers as a service does, though perhaps not now. */
async function probe(url: string, send: typeof fetch): Promise<string | null> {
  const address = url.replace(/^ws/, 'http').replace(/\/v2\/connect$/, '/livez')
  try {
    const { status } = await send(address, { redirect: 'manual', signal: timeoutSignal(PROBE_MS_MAX) })
    return status === 200 || status >= 500
      ? null
      : `${address} answered ${status}: is the address that of a Holdfast service?`
  } catch (error) {
    return whyOf(error)
  }
}
