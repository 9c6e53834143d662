/**
 * Certificates from files, and again when the files have changed: they are replaced while the server runs. What cannot be used (half
 * of a pair has been replaced so far) is left for the next look; until then the old ones serve.
 */
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { type ChannelCredentials, credentials } from '@grpc/grpc-js'
import { type Cancel, type Clock, every } from '../../clock.ts'

export type TlsFiles = {
  /** Authorities that members' certificates are checked against; null: those of the system. */
  caFile: string | null
  /** What this server shows, as a pair. */
  certificate: { certificateFile: string; keyFile: string } | null
}

/** As often as the files are looked at. */
const RELOAD_MS = 10_000

type Loaded = { ca: Buffer | null; key: Buffer | null; chain: Buffer | null }

export type CredentialsOptions = {
  files: TlsFiles
  clock: Clock
  reloadMs?: number
  /** Connections from now on are to be made with these. */
  onChange(credentials: ChannelCredentials): void
  onUnusable(error: unknown): void
}

export class FileCredentials {
  readonly #options: CredentialsOptions
  #loaded: Loaded
  readonly #cancel: Cancel

  /** @throws when the files cannot be read or do not fit together. */
  constructor(options: CredentialsOptions) {
    this.#options = options
    this.#loaded = load(options.files)
    this.#cancel = every(options.clock, options.reloadMs ?? RELOAD_MS, () => this.#look())
  }

  make(): ChannelCredentials {
    const { ca, key, chain } = this.#loaded
    return credentials.createSsl(ca, key, chain)
  }

  close(): void {
    this.#cancel()
  }

  #look(): void {
    try {
      const loaded = load(this.#options.files)
      if (isSame(loaded, this.#loaded)) return
      this.#loaded = loaded
    } catch (error) {
      this.#options.onUnusable(error)
      return
    }
    this.#options.onChange(this.make())
  }
}

function load({ caFile, certificate }: TlsFiles): Loaded {
  const loaded = {
    ca: caFile === null ? null : readFileSync(caFile),
    key: certificate ? readFileSync(certificate.keyFile) : null,
    chain: certificate ? readFileSync(certificate.certificateFile) : null,
  }
  // Throws when the key is not the certificate's, or any of it is not what it should be.
  createSecureContext({
    ...(loaded.ca && { ca: loaded.ca }),
    ...(loaded.key && { key: loaded.key }),
    ...(loaded.chain && { cert: loaded.chain }),
  })
  return loaded
}

function isSame(one: Loaded, other: Loaded): boolean {
  const equal = (a: Buffer | null, b: Buffer | null) => (a === null || b === null ? a === b : a.equals(b))
  return equal(one.ca, other.ca) && equal(one.key, other.key) && equal(one.chain, other.chain)
}
