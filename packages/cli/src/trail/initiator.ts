/** Who asked, as CADF has it: of what kind, and how it was proved. */
import type { WireRecord } from './record.ts'

type Kind = { typeURI: string; credential: { type: string } }

const kind = (typeURI: string, type: string): Kind => ({ typeURI: `service/security/${typeURI}`, credential: { type } })
const user = kind('account/user', 'token')
const machine = kind('account/serviceid', 'token')
/** A key is a program's, whatever it is called. */
const key = kind('account/serviceid', 'apikey-serviceid')
const certificate = kind('client/certificateid', 'certificate')
const root = kind('clientid', 'apikey')
const stranger = kind('clientid', 'token')
/** By nobody's leave but the service's own. */
const time = kind('clientid', 's2s-authorization')

/** Subject of what time did. */
const SERVICE = 'service'

/** Service ids, trusted profiles and services of IBM; service accounts of Kubernetes. */
const machines = /^(iam:(iam-(ServiceId|Profile)-|crn-)|oidc:[^:]*:system:serviceaccount:)/

export function initiatorOf(
  { subject, target, action }: Pick<WireRecord, 'subject' | 'target' | 'action'>,
  { crn, service }: { crn: string; service: string },
): object {
  if (subject === SERVICE) return named(crn, service, time)
  if (subject !== '') return named(subject.replace(/^iam:/, ''), nameOf(subject), kindOf(subject))
  // Nobody was proved: what was presented is all that is known.
  const [, presented = 'unknown'] = /^credential\/(.+)$/.exec(action === 'authenticate' ? target : '') ?? []
  return named(presented, presented, target === 'token' ? stranger : root)
}

function named(id: string, name: string, of: Kind): object {
  return { id, name, authnId: id, authnName: name, ...of }
}

/** Without who vouches for it: `oidc:<issuer>:<sub>` → `<sub>`. */
function nameOf(subject: string): string {
  return subject.replace(/^(iam|key|cert|oidc:[^:]*):/, '')
}

function kindOf(subject: string): Kind {
  if (machines.test(subject)) return machine
  if (/^(iam|oidc):/.test(subject)) return user
  if (subject.startsWith('cert:')) return certificate
  return subject === 'root' ? root : key
}
