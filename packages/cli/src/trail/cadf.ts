/**
 * Records as CADF events, as IBM Cloud's Activity Tracker takes them (ECOSYSTEM 1.7). The initiator is whoever asked, never the session or the holder that it
 * befell: those are data of the request. What the trail does not know (resource groups, user agents) is left out.
 */
import { STATUS_CODES } from 'node:http'
import { isIP } from 'node:net'
import { type Crns, targetCrn } from './crn.ts'
import { initiatorOf } from './initiator.ts'
import type { WireRecord } from './record.ts'

export type CadfOptions = {
  /** Of the instances that the records are of. */
  crns: Crns
  /** In the catalogue; undefined: as the CRN of the instance says. */
  service?: string
  /** Where the service listens. */
  host: string
}

/** What acts on data; all else is management. */
const dataActions =
  /^(lock\.(acquire|queue|dequeue|release|renew|expire|transfer|write-value|delay|free|list|read|watch|validate)$|session\.|election\.)/
const criticalCodes = [401, 403, 503, 507]
const warningCodes = [400, 409, 424, 500, 502, 504]

export function cadfOf(record: WireRecord, { crns, host, ...options }: CadfOptions): object {
  const isSuccess = record.outcome === 'success'
  const crn = crns.of(record.instance)
  const service = options.service ?? (crn.split(':')[4] || 'go-etcd-lock')
  const verb = record.action.split('.').slice(1).join(' ') || record.action
  const [kind = '', name = ''] = split(record.target)
  const code = record.status ?? (isSuccess ? 200 : 403)
  const outcome = isSuccess ? 'success' : 'failure'
  const words = [verb, kind, name, isSuccess ? '' : `[${outcome}]`].filter(word => word !== '')
  return {
    eventTime: timeOf(record.at),
    action: `${service}.${record.action}`,
    outcome,
    severity: severityOf(record, code),
    message: `${titleOf(service)}: ${words.join(' ')}`,
    id: record.id,
    ...(record.request_id !== undefined && { correlationId: record.request_id }),
    initiator: { ...initiatorOf(record, { crn, service }), ...hostOf(record.from) },
    target: {
      id: targetCrn(kind === 'instance' ? crns.of(name) : crn, kind, name),
      name: name || (kind === 'prefix' ? '*' : 'unknown'),
      typeURI: `${service}/${kind === 'credential' ? 'resource-key' : kind}`,
      host: { address: host },
    },
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

function hostOf(from: string | undefined): object {
  if (from === undefined || from === '') return {}
  const version = isIP(from)
  return { host: { address: from, ...(version !== 0 && { addressType: `IPv${version}` }) } }
}

function requestDataOf({ reason, outcome, affected, session, holder, changed }: WireRecord): object {
  return {
    ...(outcome === 'success' && reason !== undefined && { reason }),
    ...(session !== undefined && { session }),
    ...(holder !== undefined && { holder }),
    ...(affected !== undefined && { affected }),
    ...(changed !== undefined && { changed }),
  }
}

/** `lock/a/b` → `lock`, `a/b`. */
function split(target: string): [string, string] {
  const slash = target.indexOf('/')
  return slash < 0 ? [target, ''] : [target.slice(0, slash), target.slice(slash + 1)]
}
