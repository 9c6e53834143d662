/** Fetches a small JSON document from a server that may be slow, broken or hostile: no redirects, one size limit, one time limit for all of it. */
import { type IncomingMessage, type RequestOptions, request as requestPlain } from 'node:http'
import { request as requestSecure } from 'node:https'
import type { Clock } from '../clock.ts'

/** Discovery documents have a few KiB; key sets of a hundred RSA keys 50. */
export const FETCHED_BYTES_MAX = 256 * 1024
/** From the first byte sent to the last one read; somebody's first request waits for it. */
export const FETCH_MS_MAX = 5_000

export type FetchOptions = {
  clock: Clock
  /** PEM; null: those of the system. */
  authorities: string | null
  bearer: string | null
  signal: AbortSignal
}

/** Rejects with an error whose message names the URL and what was wrong, and nothing of what was sent or received. */
export async function fetchJson(url: string, { clock, authorities, bearer, signal }: FetchOptions): Promise<unknown> {
  const late = new AbortController()
  const cancel = clock.after(FETCH_MS_MAX, () => late.abort())
  try {
    const response = await send(url, {
      signal: AbortSignal.any([signal, late.signal]),
      // A socket of its own: there is one fetch in minutes.
      agent: false,
      headers: { accept: 'application/json', ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }) },
      ...(authorities === null ? {} : { ca: authorities }),
    })
    if (response.statusCode !== 200) {
      response.destroy()
      throw new Error(`was answered with status ${response.statusCode}`)
    }
    return parsed(await bodyOf(response))
  } catch (error) {
    const why = late.signal.aborted
      ? `took longer than ${FETCH_MS_MAX} ms`
      : error instanceof Error
        ? error.message
        : ''
    throw new Error(`GET ${url} ${why}`, { cause: error })
  } finally {
    cancel()
  }
}

function send(url: string, options: RequestOptions): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = url.startsWith('https:') ? requestSecure(url, options) : requestPlain(url, options)
    request.once('response', resolve)
    request.on('error', reject)
    request.end()
  })
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  // Without an encoding set, chunks are buffers.
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > FETCHED_BYTES_MAX) {
      response.destroy()
      throw new Error(`was answered with more than ${FETCHED_BYTES_MAX} bytes`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's message would quote what was received.
    throw new Error('was answered with what is no JSON')
  }
}
