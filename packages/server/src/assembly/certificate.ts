/**
 * What the listener shows over TLS, and who is believed. The files are looked at every few seconds, so that a certificate is renewed by replacing them: connections that
 * are open go on under the old one, new ones get the new one. What cannot be used (a half-written file, a key that is another certificate's, one that has
 * expired) is told once and left alone, for the old one is better than none.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import { type Clock, every } from '../clock.ts'
import { type Config, ConfigError } from '../config/config.ts'
import type { Tls } from '../http/listener.ts'
import { authoritiesIn, reading } from './refusals-at-start.ts'

/** The two files may be replaced one after the other: what does not fit at one look may at the next. */
const LOOK_MS = 2_000

type Files = NonNullable<Config['tls']> & { clientAuthoritiesFile: string | null }
type Listener = { setSecureContext(options: SecureContextOptions): void }
type Options = { files: Files; clock: Clock; told(happened: { isTaken: boolean; what: string; error?: unknown }): void }

/** Reads the file whenever it is asked: who believes in another authority believes it from the next connection on. What cannot be used leaves the last that could. */
export function followedAuthorities(setting: string, path: string): () => string {
  let last = authoritiesIn(setting, path)
  return () => {
    try {
      last = authoritiesIn(setting, path)
    } catch {
      // It is being replaced, or was replaced by what is none.
    }
    return last
  }
}

export class ListenerCertificate {
  readonly #options: Options
  #shown: Tls
  /** Looked at and found wanting. */
  #refused = ''
  #cancel: () => void = () => undefined

  /** @throws ConfigError when the files cannot be used. */
  constructor(options: Options) {
    this.#options = options
    refuseUnusable(options.files)
    this.#shown = this.#read()
    reading('tls_cert', { path: options.files.certificateFile, read: () => createSecureContext(this.#shown) })
  }

  get shown(): Tls {
    return this.#shown
  }

  /** From now on the listener shows what is in the files. */
  follow(listener: Listener): void {
    this.#cancel = every(this.#options.clock, LOOK_MS, () => this.#look(listener))
  }

  stop(): void {
    this.#cancel()
  }

  #look(listener: Listener): void {
    const { told, clock } = this.#options
    let seen = ''
    try {
      const found = this.#read()
      seen = textOf(found)
      if (seen === textOf(this.#shown) || seen === this.#refused) return
      createSecureContext(found)
      refuseExpired(found.cert, clock)
      listener.setSecureContext(found)
      this.#shown = found
      this.#refused = ''
      told({
        isTaken: true,
        what: `the new certificate of the listener is used: ${new X509Certificate(found.cert).subject}`,
      })
    } catch (error) {
      seen ||= String(error)
      if (seen === this.#refused) return
      this.#refused = seen
      told({ isTaken: false, what: 'the new certificate of the listener cannot be used; the old one stays', error })
    }
  }

  #read(): Tls {
    const { certificateFile, keyFile, clientAuthoritiesFile } = this.#options.files
    return {
      cert: readFileSync(certificateFile),
      key: readFileSync(keyFile),
      minVersion: 'TLSv1.2',
      // Who shows none, or one that nobody we know has signed, may still have another credential: `auth/` looks at what was verified.
      ...(clientAuthoritiesFile !== null && {
        ca: readFileSync(clientAuthoritiesFile),
        requestCert: true,
        rejectUnauthorized: false,
      }),
    }
  }
}

/** At the start there is no old one to stay with: each file is looked at by itself, so that its setting can be named. */
function refuseUnusable({ certificateFile, keyFile, clientAuthoritiesFile }: Files): void {
  const cert = reading('tls_cert', {
    path: certificateFile,
    read: () => new X509Certificate(readFileSync(certificateFile)),
  })
  const key = reading('tls_key', { path: keyFile, read: () => createPrivateKey(readFileSync(keyFile)) })
  if (!cert.checkPrivateKey(key))
    throw new ConfigError(
      `\`tls_key\`: ${keyFile} is not the key of the certificate in ${certificateFile} (\`tls_cert\`).`,
    )
  if (clientAuthoritiesFile !== null) authoritiesIn('client_ca', clientAuthoritiesFile)
}

function textOf({ cert, key, ca }: Tls): string {
  return [cert, key, ca ?? ''].map(String).join('\n')
}

function refuseExpired(cert: Buffer, clock: Clock): void {
  const { validTo } = new X509Certificate(cert)
  if (Date.parse(validTo) < clock.wallMs()) throw new Error(`it has expired on ${validTo}`)
}
