/**
 * Syslog, RFC 5424: over TCP, TLS or a stream socket with octet counting (RFC 6587, 5425), or a datagram for each record. Syslog acknowledges nothing:
 * what has been handed to a connection counts as taken, and what was in flight when it broke is lost or, if it broke before, sent again.
 */
import { createSocket } from 'node:dgram'
import { connect, isIPv6, type Socket } from 'node:net'
import { hostname } from 'node:os'
import { connect as connectTls } from 'node:tls'
import type { Cancel, Clock } from '../../clock.ts'
import { leftOut } from '../changed.ts'
import type { AuditRecord } from '../record.ts'
import { lineOf, type Sink } from './sink.ts'

export type SyslogTarget =
  | { transport: 'udp' | 'tcp' | 'tls'; host: string; port: number }
  | { transport: 'unix'; path: string }

/** Facility 13, log audit; informational, or a warning when it was not permitted or failed. */
const FACILITY = 13
const [WARNING, INFORMATIONAL] = [4, 6]
/** The number that is reserved for documentation (RFC 5612): we have none of our own. */
const STRUCTURE = 'audit@32473'
/** What a connection may take to be made, and to take what it is given. */
export const SYSLOG_MS_MAX = 5_000
/** A datagram of more would be cut or lost on the way. */
export const DATAGRAM_BYTES_MAX = 8_192

export function messageOf(record: AuditRecord, host: string = hostname()): string {
  const priority = FACILITY * 8 + (record.outcome === 'success' ? INFORMATIONAL : WARNING)
  const fields = { id: record.id, outcome: record.outcome, subject: record.subject, target: record.target }
  const data = Object.entries(fields).map(([name, value]) => `${name}="${value.replace(/["\\\]]/g, '\\$&')}"`)
  const name = record.action.replace(/[^\x21-\x7e]/g, '_').slice(0, 32)
  return `<${priority}>1 ${record.at} ${host || '-'} holdfast ${process.pid} ${name} [${STRUCTURE} ${data.join(' ')}] ${lineOf(record)}`
}

/** What is too large for one says of what was written only that it was left out; what is too large even so is cut. */
function datagramOf(record: AuditRecord): Buffer {
  const whole = Buffer.from(messageOf(record))
  if (whole.length <= DATAGRAM_BYTES_MAX || record.changed === undefined) return whole.subarray(0, DATAGRAM_BYTES_MAX)
  const changed = record.changed.map(leftOut)
  return Buffer.from(messageOf({ ...record, changed })).subarray(0, DATAGRAM_BYTES_MAX)
}

export class SyslogSink implements Sink {
  readonly #target: SyslogTarget
  readonly #clock: Clock
  #socket: Socket | null = null

  constructor(target: SyslogTarget, clock: Clock) {
    this.#target = target
    this.#clock = clock
  }

  async send(records: readonly AuditRecord[]): Promise<void> {
    const { transport } = this.#target
    if (transport === 'udp') return this.#sendDatagrams(this.#target, records)
    const frames = records.map(record => {
      const message = messageOf(record)
      return `${Buffer.byteLength(message)} ${message}`
    })
    try {
      this.#socket ??= await this.#connected()
      await this.#written(this.#socket, frames.join(''))
    } catch (error) {
      this.close()
      throw error
    }
  }

  close(): void {
    this.#socket?.destroy()
    this.#socket = null
  }

  #connected(): Promise<Socket> {
    const target = this.#target
    return this.#inTime((resolve, reject) => {
      const [socket, ready] =
        target.transport === 'unix'
          ? ([connect({ path: target.path }), 'connect'] as const)
          : target.transport === 'tls'
            ? ([
                connectTls({ host: target.host, port: target.port, servername: target.host }),
                'secureConnect',
              ] as const)
            : ([connect({ host: target.host, port: target.port }), 'connect'] as const)
      socket.once(ready, () => resolve(socket))
      socket.on('error', reject)
      // The other side has gone: the next records need another connection.
      socket.on('close', () => {
        if (this.#socket === socket) this.#socket = null
      })
      socket.resume()
      return () => socket.destroy()
    })
  }

  #written(socket: Socket, text: string): Promise<void> {
    let closed: () => void = () => undefined
    const written = this.#inTime<void>((resolve, reject) => {
      closed = () => reject(new Error('the connection has been closed'))
      if (socket.destroyed) closed()
      socket.once('close', closed)
      socket.write(text, error => (error ? reject(error) : resolve()))
      return () => socket.destroy()
    })
    // A connection lasts for months, and what waits for its end keeps the text that was sent.
    return written.finally(() => socket.off('close', closed))
  }

  #sendDatagrams(target: { host: string; port: number }, records: readonly AuditRecord[]): Promise<void> {
    const socket = createSocket(isIPv6(target.host) ? 'udp6' : 'udp4')
    const sent = this.#inTime<void>((resolve, reject) => {
      let left = records.length
      socket.on('error', reject)
      for (const record of records) {
        const bytes = datagramOf(record)
        socket.send(bytes, target.port, target.host, error => {
          if (error) reject(error)
          else if (--left === 0) resolve()
        })
      }
      return () => undefined
    })
    return sent.finally(() => socket.close())
  }

  #inTime<Value>(act: (resolve: (value: Value) => void, reject: (error: Error) => void) => () => void): Promise<Value> {
    let cancel: Cancel = () => undefined
    const done = new Promise<Value>((resolve, reject) => {
      const giveUp = act(resolve, reject)
      cancel = this.#clock.after(SYSLOG_MS_MAX, () => {
        giveUp()
        reject(new Error(`nothing came of it within ${SYSLOG_MS_MAX} ms`))
      })
    })
    return done.finally(() => cancel())
  }
}
