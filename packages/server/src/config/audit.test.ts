import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AUDIT_BYTES_MAX, AUDIT_BYTES_MIN, AUDIT_SINKS_MAX } from './audit.ts'
import { readConfig } from './config.ts'

const audit = (args: string[], env: Record<string, string> = {}) => readConfig({ args, env }).audit
const refused = (args: string[], pattern: RegExp) => assert.throws(() => audit(args), pattern)

test('the trail is kept for 30 days, in 256 MiB embedded and 64 MiB on etcd', () => {
  assert.deepEqual(audit([]), {
    retention: { ageMs: 30 * 86_400_000, bytesMax: 256 * 2 ** 20 },
    isStrict: false,
    strictAfterMs: 60_000,
    sinks: [],
  })
  assert.equal(audit(['--engine', 'etcd', '--etcd', 'http://127.0.0.1:1']).retention?.bytesMax, 64 * 2 ** 20)
  const small = ['--engine', 'etcd', '--etcd', 'http://127.0.0.1:1', '--etcd-quota-bytes', String(32 * 2 ** 20)]
  assert.equal(audit(small).retention?.bytesMax, 2 * 2 ** 20)
  assert.equal(audit(['--audit-bytes-max', '0']).retention, null)
  assert.equal(audit(['--audit-retention', '12h']).retention?.ageMs, 12 * 3_600_000)
})

test('from AUDIT_BYTES_MIN to AUDIT_BYTES_MAX, and no other', () => {
  for (const bytes of [AUDIT_BYTES_MIN, AUDIT_BYTES_MAX])
    assert.equal(audit(['--audit-bytes-max', String(bytes)]).retention?.bytesMax, bytes)
  for (const bytes of [AUDIT_BYTES_MIN - 1, AUDIT_BYTES_MAX + 1, '1TB', '-1'])
    refused(['--audit-bytes-max', String(bytes)], /audit_bytes_max/)
  for (const time of ['', '0d', '30', '30w', '99999d']) refused(['--audit-retention', time], /audit_retention/)
})

test('each kind of sink is understood; what is none is refused, without what may be secret in it', () => {
  const text =
    'file:/a/b.jsonl?bytes=5000&files=3,syslog+tls://[::1],syslog+udp://log.example:99,syslog+unix:/dev/x,https://u:p@hooks.example/in?key=s'
  const { sinks } = audit(['--audit-sink', text], { HOLDFAST_AUDIT_WEBHOOK_SECRET: 'shh' })
  assert.deepEqual(
    sinks.map(({ sink }) => sink),
    [
      { type: 'file', path: '/a/b.jsonl', bytesMax: 5000, files: 3 },
      { type: 'syslog', transport: 'tls', host: '::1', port: 6514 },
      { type: 'syslog', transport: 'udp', host: 'log.example', port: 99 },
      { type: 'syslog', transport: 'unix', path: '/dev/x' },
      { type: 'webhook', url: 'https://u:p@hooks.example/in?key=s', secret: 'shh' },
    ],
  )
  assert.equal(sinks.at(-1)?.name, 'https://hooks.example/in')
  assert.equal(audit(['--audit-sink', 'http://127.0.0.1:1/x']).sinks.length, 1)
  for (const sink of [
    'http://example.org/x',
    'ftp://x',
    'nonsense',
    'syslog+tcp://',
    'file:/a?bytes=1',
    'file:/a?what=1',
    'file:/a,file:/a',
  ])
    refused(['--audit-sink', sink], /audit_sink/)
  refused(['--audit-sink', 'ftp://user:hunter2@x/'], /^(?!.*hunter2)/)
  const many = Array.from({ length: AUDIT_SINKS_MAX + 1 }, (_, index) => `file:/a${index}`)
  assert.equal(audit(['--audit-sink', many.slice(1).join(',')]).sinks.length, AUDIT_SINKS_MAX)
  refused(['--audit-sink', many.join(',')], /at most/)
})

test('strict needs a sink', () => {
  refused(['--audit-mode', 'strict'], /no `audit_sink`/)
  assert.equal(
    audit(['--audit-mode', 'strict', '--audit-sink', 'file:/a', '--audit-strict-after', '5s']).strictAfterMs,
    5_000,
  )
  refused(['--audit-mode', 'sometimes'], /audit_mode/)
})
