/** Pasted on several machines, the printed lines make servers that reach each other. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { linesOf, serveText } from './cluster-lines.ts'

test('for trial: three servers on loopback', () => {
  const lines = linesOf({ local: [{ name: 'm1', host: '127.0.0.1' }], isTrial: true })
  assert.deepEqual(
    lines.map(({ listen }) => listen),
    ['127.0.0.1:7420', '127.0.0.1:7421', '127.0.0.1:7422'],
  )
  const text = serveText(lines, ['--engine', 'etcd'])
  assert.match(
    text,
    /^holdfast serve --server-name holdfast-1 --listen 127\.0\.0\.1:7420 --data \.\/holdfast-1 --engine etcd$/m,
  )
  assert.ok(!text.includes('--advertise'))
})

test('on machines of their own: each server listens and is found where its machine is reached, with TLS', () => {
  const [line, ...others] = linesOf({ local: [{ name: 'm2', host: '10.0.0.2' }], isTrial: false })
  assert.deepEqual(others, [])
  assert.deepEqual(line, { name: 'holdfast-m2', listen: '10.0.0.2:7420', advertise: 'https://10.0.0.2:7420' })
  const text = serveText([line!], ['--engine', 'etcd'])
  assert.match(
    text,
    /^holdfast serve --server-name holdfast-m2 --listen 10\.0\.0\.2:7420 --advertise https:\/\/10\.0\.0\.2:7420 --tls-cert \S+ --tls-key \S+ --peer-ca \S+ --data \.\/holdfast-m2 --engine etcd$/m,
  )
  assert.match(text, /--insecure-listen/)
})

test('members that share a machine get a port each, and an address of IPv6 its brackets', () => {
  const local = [
    { name: 'm1', host: 'fd00::1' },
    { name: 'm2', host: 'fd00::1' },
  ]
  assert.deepEqual(
    linesOf({ local, isTrial: false }).map(({ advertise }) => advertise),
    ['https://[fd00::1]:7420', 'https://[fd00::1]:7421'],
  )
  assert.match(serveText(linesOf({ local, isTrial: false }), []), /--listen '\[fd00::1\]:7420' --advertise/)
})
