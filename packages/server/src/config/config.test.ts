import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ConfigError, distance, readConfig, settingRows, usage } from './config.ts'
import { isOfKubernetes } from './foreign-variables.ts'
import { DRAIN_READY_MS_MAX } from './values.ts'

const read = (args: string[] = [], env: Record<string, string> = {}) => readConfig({ args, env })
const fails = (message: RegExp, args: string[], env: Record<string, string> = {}) =>
  assert.throws(
    () => read(args, env),
    error => error instanceof ConfigError && message.test(error.message),
  )

test('with nothing said the server listens on loopback and stores in ./data', () => {
  const config = read()
  assert.deepEqual(config.listen, { host: '127.0.0.1', port: 7420 })
  assert.equal(config.dataDirectory, './data')
  assert.equal(config.engine, 'lmdb')
  assert.equal(config.rootKey, null)
})

test('a flag wins over the environment, that over the file, that over the default', () => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-config-'))
  try {
    const file = join(directory, 'holdfast.json')
    writeFileSync(
      file,
      JSON.stringify({
        log_level: 'error',
        engine: 'memory',
        data: '/from-file',
        log_requests: true,
      }),
    )
    const config = read(['--config', file, '--data=/from-flag'], {
      HOLDFAST_DATA: '/from-env',
      HOLDFAST_LOG_LEVEL: 'debug',
    })
    assert.equal(config.dataDirectory, '/from-flag')
    assert.equal(config.logLevel, 'debug')
    assert.equal(config.engine, 'memory')
    assert.equal(config.logsRequests, true)
    writeFileSync(file, '{"log_levle":"info"}')
    fails(/`log_levle` in .* Did you mean `log_level`/, ['--config', file])
    writeFileSync(file, '[]')
    fails(/one JSON object/, [], { HOLDFAST_CONFIG: file })
    fails(/cannot be read/, ['--config', join(directory, 'missing.json')])
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('what the library and the command line read from the environment is no setting, and no mistake', () => {
  const env = { HOLDFAST_URL: 'http://here.test', HOLDFAST_IAM_API_KEY: 'k', HOLDFAST_IAM_URL: 'http://iam.test' }
  assert.ok(readConfig({ args: [], env }))
})

test('what Kubernetes tells a pod of Services that are called like us is no setting, and no mistake', () => {
  const ofService = (name: string, port: number) => ({
    [`${name}_SERVICE_HOST`]: '10.96.0.7',
    [`${name}_SERVICE_PORT`]: String(port),
    [`${name}_SERVICE_PORT_HTTPS_API`]: String(port),
    [`${name}_PORT`]: `tcp://10.96.0.7:${port}`,
    [`${name}_PORT_${port}_TCP`]: `tcp://10.96.0.7:${port}`,
    [`${name}_PORT_${port}_TCP_PROTO`]: 'tcp',
    [`${name}_PORT_${port}_TCP_PORT`]: String(port),
    [`${name}_PORT_${port}_TCP_ADDR`]: '10.96.0.7',
  })
  const pod = { ...ofService('HOLDFAST', 7420), ...ofService('HOLDFAST_PEERS', 7421) }
  assert.deepEqual(read([], pod), read())
  // Beside it a mistake is one as ever, and so is a port that somebody has thought of.
  fails(/`HOLDFAST_LISTNE`.*`HOLDFAST_LISTEN`/, [], { ...pod, HOLDFAST_LISTNE: '0.0.0.0:7420' })
  fails(/no setting `HOLDFAST_PORT`/, [], { HOLDFAST_PORT: '7420' })
  assert.equal(read([], { ...pod, HOLDFAST_SERVICE_NAME: 'locks' }).serviceName, 'locks')
  for (const { variable } of settingRows()) assert.ok(!isOfKubernetes(variable, 'tcp://10.96.0.7:7420'), variable)
})

test('an unknown setting names the nearest known one', () => {
  fails(/`--lisen`.*`--listen`/, ['--lisen', '1:1'])
  fails(/`HOLDFAST_DATE`.*`HOLDFAST_DATA`/, [], { HOLDFAST_DATE: 'x' })
  fails(/`HOLDFAST_APIKEY`.*`HOLDFAST_API_KEY`/, [], { HOLDFAST_APIKEY: 'x' })
  // A key on the command line could be read by everybody on the machine.
  fails(/no setting `--root-key`/, ['--root-key', 'x'.repeat(20)])
  assert.doesNotThrow(() => read([], { HOLDFAST_URL: 'x', HOLDFAST_API_KEY: 'y', PATH: '/bin' }))
})

test('values that are not valid are refused', () => {
  fails(/HOST:PORT/, ['--listen', 'nowhere'])
  fails(/HOST:PORT/, ['--listen', '127.0.0.1:70000'])
  fails(/needs a value/, ['--listen'])
  fails(/needs a value/, ['--listen', '--data'])
  fails(/given twice/, ['--data', 'a', '--data', 'b'])
  fails(/one of lmdb, memory/, ['--engine', 'mysql'])
  fails(/go together/, ['--tls-cert', 'a.pem'])
  fails(/at least 16/, [], { HOLDFAST_ROOT_KEY: 'short' })
  fails(/one of true, false/, ['--log-requests=yes'])
})

test('a drain is announced for as long as it is said to be, within reason', () => {
  assert.equal(read().drainReadyMs, 0)
  assert.equal(read(['--drain-ready-ms', `${DRAIN_READY_MS_MAX}`]).drainReadyMs, DRAIN_READY_MS_MAX)
  for (const wrong of [`${DRAIN_READY_MS_MAX + 1}`, '-1', '1.5', '5s', '1e3', ''])
    fails(/`drain_ready_ms` must be from 0 to/, [`--drain-ready-ms=${wrong}`])
})

test('origins of web pages are named exactly as browsers name them', () => {
  assert.deepEqual(read().allowedOrigins, [])
  assert.deepEqual(read(['--allowed-origins', 'https://a.example, http://localhost:3000']).allowedOrigins, [
    'https://a.example',
    'http://localhost:3000',
  ])
  for (const wrong of [
    '*',
    'a.example',
    'https://a.example/',
    'https://a.example/path',
    'ftp://a.example',
    'https://a,',
  ])
    fails(/allowed_origins.* must name origins/, ['--allowed-origins', wrong])
})

test('a store on etcd is named by its members, and half of what it needs is refused', () => {
  const etcd = (...more: string[]) => [
    '--engine',
    'etcd',
    '--etcd',
    'https://10.0.0.1:2379, https://10.0.0.2:2379',
    ...more,
  ]
  const config = read(etcd())
  assert.deepEqual(config.etcd, {
    urls: ['https://10.0.0.1:2379', 'https://10.0.0.2:2379'],
    tls: { caFile: null, certificate: null },
    login: null,
    quotaBytes: 2 * 1024 ** 3,
    takesAnyVersion: false,
  })
  assert.deepEqual([config.root, config.shards], ['holdfast', 8])
  assert.deepEqual([read().root, read().shards, read().etcd], ['holdfast', 1, null])
  const secured = read(etcd('--etcd-ca', 'ca', '--etcd-cert', 'c', '--etcd-key', 'k', '--root', 'a/b', '--shards', '3'))
  assert.deepEqual(secured.etcd?.tls, { caFile: 'ca', certificate: { certificateFile: 'c', keyFile: 'k' } })
  assert.deepEqual([secured.root, secured.shards], ['a/b', 3])
  const login = read(etcd('--etcd-user', 'u'), { HOLDFAST_ETCD_PASSWORD: 'p' })
  assert.deepEqual(login.etcd?.login, { user: 'u', password: 'p' })
  fails(/needs `etcd`/, ['--engine', 'etcd'])
  fails(/`engine` is not etcd/, ['--etcd', 'http://10.0.0.1:2379'])
  fails(/must be URLs/, ['--engine', 'etcd', '--etcd', '10.0.0.1:2379'])
  fails(/must be URLs/, ['--engine', 'etcd', '--etcd', 'http://10.0.0.1:2379,'])
  fails(/begin with https/, ['--engine', 'etcd', '--etcd', 'http://10.0.0.1:2379', '--etcd-ca', 'ca'])
  fails(/`etcd_cert` and `etcd_key` go together/, etcd('--etcd-cert', 'c'))
  fails(/`etcd_user` and a password go together/, etcd('--etcd-user', 'u'))
  fails(/cannot be read/, etcd('--etcd-user', 'u', '--etcd-password-file', 'no/such/file'))
  fails(/both given/, etcd('--etcd-password-file', 'f'), { HOLDFAST_ETCD_PASSWORD: 'p' })
  // A password on the command line could be read by everybody on the machine.
  fails(/no setting `--etcd-password`/, etcd('--etcd-password', 'p'))
  fails(/at least 16777216/, etcd('--etcd-quota-bytes', '1000'))
  fails(/from 1 to 64/, etcd('--shards', '65'))
  fails(/`root` must be words/, etcd('--root', '/a'))
})

test('beyond loopback TLS is needed, unless refused by a flag', () => {
  fails(/needs TLS/, ['--listen', '0.0.0.0:7420'])
  fails(/needs TLS/, ['--listen', '[::]:7420'])
  fails(/needs TLS/, ['--listen', 'example.org:7420'])
  for (const listen of ['127.0.0.1:0', '127.8.9.1:0', 'localhost:1', '[::1]:7420'])
    assert.doesNotThrow(() => read(['--listen', listen]))
  assert.equal(read(['--listen', '0.0.0.0:1', '--insecure-listen']).isInsecureListen, true)
  assert.deepEqual(read(['--listen', '0.0.0.0:1', '--tls-cert', 'c', '--tls-key', 'k']).tls, {
    certificateFile: 'c',
    keyFile: 'k',
  })
})

test('the usage names every flag, and no secret as a flag', () => {
  assert.match(usage(), /--log-level VALUE/)
  assert.match(usage(), /HOLDFAST_ROOT_KEY/)
  assert.doesNotMatch(usage(), /--root-key/)
})

test('the distance counts changed, added and missing letters', () => {
  assert.equal(distance('kitten', 'sitting'), 3)
  assert.equal(distance('', 'abc'), 3)
  assert.equal(distance('same', 'same'), 0)
})

test('where usage is submitted: both settings or neither, and never in the clear over a network', () => {
  assert.equal(read([]).metering, null)
  const file = ['--metering-token-file', 't']
  for (const url of ['https://billing.example.org', 'http://127.0.0.1:1', 'http://localhost:1'])
    assert.deepEqual(read(['--metering-url', url, ...file]).metering, { url, tokenFile: 't' })
  fails(/belong together/, file)
  fails(/belong together/, ['--metering-url', 'https://billing.example.org'])
  for (const url of ['http://billing.example.org', 'billing.example.org', 'ftp://127.0.0.1'])
    fails(/must begin with https/, ['--metering-url', url, ...file])
})
