/** Certificates as others read them: Node here, etcd in the tests of the system. */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createSecureContext } from 'node:tls'
import { type Clock, systemClock } from '../clock.ts'
import { systemRandom as random } from '../random.ts'
import { beginCluster } from './begin.ts'
import { Authority, certificatesIn, factsOf, isSignedByOneOf, LEAF_MS, RENEW_MS } from './certificates.ts'
import { der, identifier } from './der.ts'
import { ClusterDirectory } from './directory.ts'
import { readText, remove } from './files.ts'
import { renewIfDue } from './rotation.ts'

const surroundings = { clock: systemClock, random }

test('an authority signs what Node accepts, for names and addresses of every kind', () => {
  const authority = Authority.create('test authority', surroundings)
  const hosts = ['10.0.0.1', 'etcd.example.org', '::1', '2001:db8::5:1', 'fe80::']
  const pem = authority.issue({ name: 'server', purpose: 'server', hosts }, surroundings)
  const certificate = new X509Certificate(pem)
  createSecureContext({ ca: authority.certificate, cert: pem, key: pem })
  assert.equal(certificate.ca, false)
  assert.equal(certificate.checkHost('etcd.example.org'), 'etcd.example.org')
  assert.equal(certificate.checkHost('other.example.org'), undefined)
  for (const host of ['10.0.0.1', '::1', '2001:db8::5:1', 'fe80::']) assert.equal(certificate.checkIP(host), host)
  assert.equal(certificate.checkIP('10.0.0.2'), undefined)
  assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
  assert.ok(certificate.checkIssued(new X509Certificate(authority.certificate)))
  assert.equal(new X509Certificate(authority.certificate).ca, true)
})

test('what a client shows is good for clients only', () => {
  const authority = Authority.create('test authority', surroundings)
  const pem = authority.issue({ name: 'client', purpose: 'client', hosts: [] }, surroundings)
  assert.deepEqual(new X509Certificate(pem).keyUsage, ['1.3.6.1.5.5.7.3.2'])
  assert.equal(factsOf(pem).name, 'client')
})

test('who has signed is told by the signature, not by the name', () => {
  const [one, other] = [Authority.create('same', surroundings), Authority.create('same', surroundings)]
  const pem = Authority.from(one.pem).issue({ name: 'leaf', purpose: 'client', hosts: [] }, surroundings)
  assert.equal(isSignedByOneOf(pem, one.certificate), true)
  assert.equal(isSignedByOneOf(pem, other.certificate), false)
  assert.equal(isSignedByOneOf(pem, other.certificate + one.certificate), true)
  assert.equal(certificatesIn(other.certificate + one.certificate).length, 2)
})

test('no two certificates have one serial number', () => {
  const authority = Authority.create('test authority', surroundings)
  const issue = () => authority.issue({ name: 'leaf', purpose: 'client', hosts: [] }, surroundings)
  const serials = Array.from({ length: 20 }, () => new X509Certificate(issue()).serialNumber)
  assert.equal(new Set(serials).size, 20)
})

test('lengths and identifiers are written as the format wants them', () => {
  assert.equal(der(4, Buffer.alloc(127)).subarray(0, 2).toString('hex'), '047f')
  assert.equal(der(4, Buffer.alloc(128)).subarray(0, 3).toString('hex'), '048180')
  assert.equal(der(4, Buffer.alloc(65_536)).subarray(0, 5).toString('hex'), '0483010000')
  assert.equal(identifier('1.2.840.10045.4.3.2').toString('hex'), '06082a8648ce3d040302')
})

test('certificates are renewed by themselves when little is left of them, and not before', async () => {
  const directory = new ClusterDirectory(join(mkdtempSync(join(tmpdir(), 'holdfast-certificates-')), 'cluster'))
  try {
    await beginCluster({ ...surroundings, directory, count: 1, host: '127.0.0.1', port: 0, etcd: 'etcd' })
    const at = (ms: number): Clock => ({ ...systemClock, wallMs: () => systemClock.wallMs() + ms })
    const before = readText(directory.clientFile)
    assert.deepEqual(renewIfDue(directory, { clock: at(LEAF_MS - RENEW_MS - 60_000), random }), [])
    assert.equal(readText(directory.clientFile), before)
    const later = at(LEAF_MS - RENEW_MS + 60_000)
    assert.equal(renewIfDue(directory, { clock: later, random }).length, 3)
    const after = readText(directory.clientFile) ?? ''
    assert.ok(factsOf(after).expiresAt > factsOf(before ?? '').expiresAt + LEAF_MS / 2)
    assert.ok(isSignedByOneOf(after, readText(directory.caFile) ?? ''))
    assert.deepEqual(renewIfDue(directory, { clock: later, random }), [])
  } finally {
    remove(join(directory.path, '..'))
  }
})
