/** For the tests of other rooms: records in memory, changed at once and known at once. */
import { KnownRecords } from './known.ts'
import type { Deed, Put, Registry, Trail } from './port.ts'
import type { CredentialRecord, InstanceRecord, PolicyRecord } from './records.ts'

export type MemoryRegistry = Omit<Registry, 'isFresh'> & {
  isFresh: boolean
  /** All that was noted, oldest first. */
  readonly noted: readonly Deed[]
  /** A change that nobody is named for. */
  put(...puts: Put[]): void
}

export function memoryRegistry(...puts: Put[]): MemoryRegistry {
  const known = new KnownRecords()
  known.apply(puts)
  const listeners = new Set<(puts: readonly Put[]) => void>()
  const noted: Deed[] = []
  const links: Trail[] = []
  const apply = (deeds: Deed[], writes: Put[]) => {
    links.push({ seq: links.length + 1, at: 0, server: 'test', prev: '', deeds, writes })
    known.apply(writes)
    for (const listener of listeners) listener(writes)
  }
  return {
    noted,
    isFresh: true,
    get seq() {
      return links.length
    },
    get: (kind, id) => known.get(kind, id),
    all: kind => known.all(kind),
    put: (...more) => apply([], more),
    async change(telling, decide) {
      const puts = [...decide()]
      apply(typeof telling === 'function' ? telling(puts) : [telling], puts)
    },
    note: deed => void noted.push(deed),
    onChange(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    async trail({ after, limit }) {
      const rest = links.filter(({ seq }) => seq > after)
      return { links: rest.slice(0, limit), more: rest.length > limit }
    },
  }
}

// ------------------------------------------------------------------ records, of which a test names what matters to it

export function instanceRecord(fields: Partial<InstanceRecord> & { id: string }): InstanceRecord {
  return {
    name: fields.id,
    crn: `crn:v1:bluemix:public:go-etcd-lock:local:a/test:${fields.id}::`,
    account: 'test',
    plan: 'standard',
    capacityUnits: 1,
    region: 'local',
    state: 'active',
    overrides: {},
    createdAtMs: 0,
    createdBy: 'root',
    changedAtMs: 0,
    reclaimAtMs: null,
    history: [],
    ...fields,
  }
}

export function credentialRecord(fields: Partial<CredentialRecord> & { id: string }): CredentialRecord {
  return {
    instance: 'default',
    name: fields.id,
    subject: `key:${fields.id}`,
    groups: [],
    secretHash: '',
    roles: [],
    state: 'active',
    createdAtMs: 0,
    createdBy: 'root',
    expiresAtMs: null,
    replacedBy: null,
    ...fields,
  }
}

export function policyRecord(fields: Partial<PolicyRecord> & { id: string }): PolicyRecord {
  return { instance: 'default', description: '', subjects: ['*'], roles: [], locks: ['*'], conditions: {}, ...fields }
}
