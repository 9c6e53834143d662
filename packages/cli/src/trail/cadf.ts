/** Records as CADF events, as IBM Cloud's Activity Tracker takes them (ECOSYSTEM 1.7). */
import { STATUS_CODES } from 'node:http'
import { isIP } from 'node:net'
import type { WireRecord } from './record.ts'

export type CadfOptions = {
  /** Of the service instance: `crn:v1:bluemix:public:go-etcd-lock:us-south:a/ACC:GUID::`. */
  crn: string
  /** In the catalogue. */
  service: string
}

/** What acts on data; all else is management. */
const dataActions =
  /^(lock\.(acquire|queue|dequeue|release|renew|expire|transfer|write-value|delay|free|list|read|watch|validate)$|session\.|election\.)/
const criticalCodes = [401, 403, 503, 507]
const warningCodes = [400, 409, 424, 500, 502, 504]

export function cadfOf(record: WireRecord, { crn, service }: CadfOptions): object {
  const isSuccess = record.outcome === 'success'
  const verb = record.action.split('.').slice(1).join(' ') || record.action
  const [kind = '', name = ''] = split(record.target)
  const code = record.status ?? (isSuccess ? 200 : 403)
  const outcome = isSuccess ? 'success' : 'failure'
  return {
    eventTime: timeOf(record.at),
    action: `${service}.${record.action}`,
    outcome,
    severity: severityOf(record, code),
    message: `${titleOf(service)}: ${verb} ${kind} ${name}${isSuccess ? '' : ` [${outcome}]`}`,
    id: record.id,
    ...(record.request_id !== undefined && { correlationId: record.request_id }),
    initiator: initiatorOf(record),
    target: { id: targetCrn(crn, kind, name), name, typeURI: `${service}/${kind}` },
    observer: { name: 'ActivityTracker' },
    reason: {
      reasonCode: code,
      reasonType: STATUS_CODES[code] ?? 'Unknown',
      ...(!isSuccess && { reasonForFailure: record.reason ?? 'Not permitted.' }),
    },
    logSourceCRN: crn,
    saveServiceCopy: true,
    dataEvent: dataActions.test(record.action),
    requestData: requestDataOf(record),
    responseData: record.token === undefined ? {} : { token: record.token },
  }
}

/** Hundredths of a second, cut off; always UTC. */
function timeOf(at: string): string {
  const iso = new Date(at).toISOString()
  return `${iso.slice(0, 22)}+0000`
}

function severityOf({ action, outcome }: WireRecord, code: number): string {
  const isGrave = /\.delete$/.test(action) || (/^credential\./.test(action) && !/\.(read|list)$/.test(action))
  if (criticalCodes.includes(code) || (outcome === 'success' && isGrave)) return 'critical'
  return warningCodes.includes(code) ? 'warning' : 'normal'
}

/** `go-etcd-lock` → `Go Etcd Lock`. */
function titleOf(service: string): string {
  return service.replaceAll(
    /(^|-)([a-z])/g,
    (_, dash: string, letter: string) => (dash === '' ? '' : ' ') + letter.toUpperCase(),
  )
}

function initiatorOf({ subject, holder, session, from }: WireRecord): object {
  const type = typeOf(subject)
  const initiator = {
    id: subject.replace(/^iam:/, ''),
    name: holder ?? subject,
    ...(session !== undefined && { authnId: session }),
    typeURI: type.uri,
    credential: { type: type.credential },
  }
  if (from === undefined) return initiator
  const version = isIP(from)
  const addressType = version === 0 ? {} : { addressType: `IPv${version}` }
  return { ...initiator, host: { address: from, ...addressType } }
}

function typeOf(subject: string): { uri: string; credential: string } {
  if (/^iam:iam-ServiceId-/.test(subject)) return { uri: 'service/security/account/serviceid', credential: 'token' }
  if (/^(iam|oidc):/.test(subject)) return { uri: 'service/security/account/user', credential: 'token' }
  if (/^cert:/.test(subject)) return { uri: 'service/security/client/certificateid', credential: 'certificate' }
  if (/^key:/.test(subject)) return { uri: 'service/security/account/serviceid', credential: 'apikey-serviceid' }
  return { uri: 'service/security/clientid', credential: 'apikey' }
}

/** The last two segments name the resource; each is encoded as in a URL. */
function targetCrn(crn: string, kind: string, name: string): string {
  const instance = crn.split(':').slice(0, 8).join(':')
  return `${instance}:${kind}:${encodeURIComponent(name)}`
}

function requestDataOf({ reason, outcome, affected }: WireRecord): object {
  return {
    ...(outcome === 'success' && reason !== undefined && { reason }),
    ...(affected !== undefined && { affected }),
  }
}

/** `lock/a/b` → `lock`, `a/b`. */
function split(target: string): [string, string] {
  const slash = target.indexOf('/')
  return slash < 0 ? [target, ''] : [target.slice(0, slash), target.slice(slash + 1)]
}
