/**
 * What keeps a server from starting and is a setting's fault, told in the words of settings: Node and OpenSSL name neither the setting nor what to do.
 * Anything else is passed on as it is.
 */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type Config, ConfigError } from '../config/config.ts'

/** Of the listener: somebody else listens there, or this machine has no such address. */
export async function listening<Value>({ host, port }: Config['listen'], listen: () => Promise<Value>): Promise<Value> {
  try {
    return await listen()
  } catch (cause) {
    const told: Record<string, string> = {
      EADDRINUSE: `\`listen\`: port ${port} of ${host} is in use: stop what listens there, or use \`--listen 127.0.0.1:0\` for one that is free.`,
      EACCES: `\`listen\`: port ${port} of ${host} may not be listened on by this user: use a port from 1024 on.`,
      EADDRNOTAVAIL: `\`listen\`: this machine has no address ${host}: use one of its own.`,
      ENOTFOUND: `\`listen\`: the host ${host} is not known: use an address of this machine.`,
    }
    throw refusalOf(cause, told[codeOf(cause)])
  }
}

/** Of the folder that everything is kept in. */
export async function openingData<Value>(directory: string, open: () => Promise<Value>): Promise<Value> {
  try {
    return await open()
  } catch (cause) {
    const isNoFolder = ['ENOTDIR', 'EEXIST'].includes(codeOf(cause))
    const isClosed = ['EACCES', 'EPERM', 'EROFS'].includes(codeOf(cause))
    const told = isNoFolder
      ? `\`data\`: ${directory} is, or lies under, a file: name a folder; it is made if it is not there.`
      : `\`data\`: this user may not write in ${directory}: name another folder, or give it to the user.`
    throw refusalOf(cause, isNoFolder || isClosed ? told : undefined)
  }
}

/** Of a file that a setting names. */
export function reading<Value>(setting: string, { path, read }: { path: string; read: () => Value }): Value {
  try {
    return read()
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw refusalOf(cause, `\`${setting}\`: ${path} cannot be used (${why}).`)
  }
}

/** Of a file of certificates that others' are checked against, as PEM. Of several the first is looked at. */
export function authoritiesIn(setting: string, path: string): string {
  return reading(setting, {
    path,
    read() {
      const pem = readFileSync(path, 'utf8')
      // Throws when it is none.
      new X509Certificate(pem)
      return pem
    },
  })
}

function refusalOf(cause: unknown, told: string | undefined): unknown {
  return told === undefined ? cause : new ConfigError(told, { cause })
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}
