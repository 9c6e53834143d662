/** The lines that start servers on a cluster, to paste. */
import { relative } from 'node:path'
import { paint } from './output.ts'

export type Line = { name: string; listen: string; advertise: string | null }

/** The ports that the printed lines use. */
const SERVER_PORT = 7420
const TRIAL_SERVERS = 3
/** What `holdfast dev-certs` writes. */
const CERTIFICATES = [
  '--tls-cert',
  './certs/server.pem',
  '--tls-key',
  './certs/server-key.pem',
  '--peer-ca',
  './certs/ca.pem',
]

/**
 * For trial, three on loopback. Otherwise as many as this machine has members, at the address by which the other machines reach it: one that said
 * 127.0.0.1 of itself would send the others' requests back to them.
 */
export function linesOf(options: { local: readonly { name: string; host: string }[]; isTrial: boolean }): Line[] {
  if (options.isTrial) {
    return Array.from({ length: TRIAL_SERVERS }, (_, index) => ({
      name: `holdfast-${index + 1}`,
      listen: `127.0.0.1:${SERVER_PORT + index}`,
      advertise: null,
    }))
  }
  return options.local.map(({ name, host }, index) => {
    const listen = `${host.includes(':') ? `[${host}]` : host}:${SERVER_PORT + index}`
    return { name: `holdfast-${name}`, listen, advertise: `https://${listen}` }
  })
}

export function serveText(lines: readonly Line[], args: readonly string[]): string {
  const commands = lines.map(({ name, listen, advertise }) => {
    const place = advertise === null ? [] : ['--advertise', advertise, ...CERTIFICATES]
    const own = ['--server-name', name, '--listen', listen, ...place, '--data', `./${name}`]
    return ['holdfast', 'serve', ...own, ...args].map(quoted).join(' ')
  })
  const key = 'all of them use one API key, the root.key in any --data:'
  if (lines.every(({ advertise }) => advertise === null)) {
    return ['', paint('bold', `Start servers on it, each in a terminal of its own; ${key}`), '', ...commands, ''].join(
      '\n',
    )
  }
  return [
    '',
    paint('bold', `Start a server on this machine, and on each of the others what is printed there; ${key}`),
    '',
    ...commands,
    '',
    'The certificates are yours, or those of one `holdfast dev-certs --hosts` with the addresses of all machines, carried',
    'to each. Where requests may travel in the clear: --insecure-listen in their place, and --advertise http://…',
    '',
  ].join('\n')
}

function quoted(word: string): string {
  const near = word.startsWith('/') ? shown(word) : word
  return /^[\w@%+=:,./-]+$/.test(near) ? near : `'${near.replaceAll("'", "'\\''")}'`
}

/** Relative where that is shorter and stays below. */
export function shown(path: string): string {
  const near = relative('.', path)
  return near === '' || near.startsWith('..') ? path : `./${near}`
}
