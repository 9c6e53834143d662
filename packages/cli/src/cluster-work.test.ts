/** The hosts of members have one spelling: they are compared as texts, and as the hosts of URLs. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseHost } from './cluster-work.ts'

test('a host is taken in the spelling that URLs have of it', () => {
  const spelt: [said: string, host: string][] = [
    ['10.0.0.2', '10.0.0.2'],
    ['Node-2.Example', 'node-2.example'],
    ['FD00:0:0:0:0:0:0:2', 'fd00::2'],
    ['fd00::2', 'fd00::2'],
  ]
  for (const [said, host] of spelt) assert.equal(parseHost(said), host)
  for (const text of ['', 'a b', '[fd00::2]', 'https://m2', 'fe80::1%eth0', '-a', '1.2.3.4.5']) {
    assert.throws(() => parseHost(text), /Say an address or a name of a machine/, text)
  }
})
