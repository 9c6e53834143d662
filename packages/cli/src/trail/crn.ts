/** Cloud resource names of instances and of what is in them (ECOSYSTEM 1.1). */
import { createHash } from 'node:crypto'

export const CRN_CHARS_MAX = 512
const SERVICE_INSTANCE = 'default'

/** Of the instances that an answer has named; of one that it has not, made of its id. */
export class Crns {
  readonly #known = new Map<string, string>()
  readonly #fixed: string | undefined

  /** `fixed`: as somebody has said it, whatever the service says. */
  constructor(fixed?: string) {
    this.#fixed = fixed
  }

  learn(instances: readonly { id: string; crn: string }[]): void {
    for (const { id, crn } of instances) this.#known.set(id, crn)
  }

  /** undefined: what concerns no one instance is the service's. */
  of(instance: string = SERVICE_INSTANCE): string {
    return this.#fixed ?? this.#known.get(instance) ?? `crn:v1:bluemix:public:go-etcd-lock:local:a/local:${instance}::`
  }
}

/** What resource types are called that the trail names otherwise. */
const resourceTypes: Record<string, string> = { credential: 'resource-key' }

/**
 * The last two segments name the resource; an instance is its own. A name that is too long for 512 characters is cut, and ends with `~` and the SHA-256
 * of all of it: no two names have one CRN.
 */
export function targetCrn(instance: string, kind: string, name: string): string {
  if (kind === 'instance') return instance
  const stem = `${instance.split(':').slice(0, 8).join(':')}:${resourceTypes[kind] ?? kind}:`
  const encoded = encodeURIComponent(name)
  if (stem.length + encoded.length <= CRN_CHARS_MAX) return stem + encoded
  const digest = `~${createHash('sha256').update(name).digest('hex')}`
  const room = CRN_CHARS_MAX - stem.length - digest.length
  let begin = ''
  for (const character of name) {
    const next = begin + encodeURIComponent(character)
    if (next.length > room) break
    begin = next
  }
  return stem + begin + digest
}
