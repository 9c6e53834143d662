/** Invitations: what is none is refused, and so is one that would take its member down. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { systemClock } from '../clock.ts'
import { systemRandom } from '../random.ts'
import { ClusterDirectory } from './directory.ts'
import { remove } from './files.ts'
import { createAuthority, saveAuthority } from './identities.ts'
import {
  acceptInvitation,
  type Invitation,
  invite,
  planOfInvitation,
  readInvitation,
  renewFromInvitation,
} from './join.ts'

const surroundings = { clock: systemClock, random: systemRandom }
const nobody = { clusterId: 0n, members: [], leader: null, alarms: [] }
const asked = { name: 'm2', host: '10.0.0.2', clientPort: 2379, peerPort: 2380 }

let folder: string
let first: ClusterDirectory
let second: ClusterDirectory
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-join.'))
  first = new ClusterDirectory(join(folder, 'first'))
  first.create({ token: 'test', quotaBytes: 1, root: 'holdfast', members: [] })
  saveAuthority(first, createAuthority('test', surroundings))
  second = new ClusterDirectory(join(folder, 'second'))
  const invitation = carried(invite(first, nobody, asked, surroundings))
  acceptInvitation(second, invitation)
  second.change(cluster => ({ ...cluster, members: [planOfInvitation(invitation, 'etcd')] }))
})
after(() => remove(folder))

/** As a file, to the other machine. */
function carried(invitation: Invitation): Invitation {
  return readInvitation(written(JSON.stringify(invitation)))
}

function written(text: string): string {
  const file = join(folder, 'm2.join')
  writeFileSync(file, text)
  return file
}

test('a file that is no invitation is refused with what was expected', () => {
  for (const text of ['a-machine\n', '', '7', 'null', '[]', '{}', '{"format":1,"name":"m2"}']) {
    const refusal = {
      name: 'ClusterFailure',
      message: /m2\.join is no invitation: expected the file that `holdfast cl/,
    }
    assert.throws(() => readInvitation(written(text)), refusal, text)
  }
  assert.throws(() => readInvitation(join(folder, 'none')), { name: 'ClusterFailure', message: /There is no / })
  assert.throws(() => readInvitation(folder), { name: 'ClusterFailure', message: /is a folder, and a file is needed/ })
})

test('new certificates for another host than the one of the member are refused, and nothing is changed', () => {
  const certificate = () => readFileSync(second.file('m2', 'server.pem'), 'utf8')
  const before = certificate()
  const wrong = carried(invite(first, nobody, { ...asked, host: '10.0.0.3' }, surroundings))
  assert.throws(() => renewFromInvitation(second, wrong), {
    name: 'ClusterFailure',
    message: /for m2 at 10\.0\.0\.3, and the others reach it at 10\.0\.0\.2.*--host 10\.0\.0\.2/,
  })
  assert.equal(certificate(), before)
  renewFromInvitation(second, carried(invite(first, nobody, asked, surroundings)))
  assert.notEqual(certificate(), before)
})

test('the same host in another spelling is the same host', () => {
  const long = new ClusterDirectory(join(folder, 'long'))
  const host = 'FD00:0:0:0:0:0:0:2'
  const invitation = carried(invite(first, nobody, { ...asked, host }, surroundings))
  acceptInvitation(long, invitation)
  long.change(cluster => ({ ...cluster, members: [planOfInvitation(invitation, 'etcd')] }))
  renewFromInvitation(long, carried(invite(first, nobody, { ...asked, host: 'fd00::2' }, surroundings)))
  const wrong = carried(invite(first, nobody, { ...asked, host: 'fd00::3' }, surroundings))
  assert.throws(() => renewFromInvitation(long, wrong), /for another host/)
})
