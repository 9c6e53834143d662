import { strict as assert } from 'node:assert'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type FaultProxy, startProxy } from './proxy.ts'

/** A connection through a proxy, and all that has arrived at its other end. */
async function through(run: (carried: { proxy: FaultProxy; client: Socket; arrived(): string }) => Promise<void>) {
  let text = ''
  const target = createServer(socket => socket.on('error', () => {}).on('data', data => (text += data)))
  await once(target.listen(0, '127.0.0.1'), 'listening')
  const { port } = target.address() as AddressInfo // it listens on a host and port
  const proxy = await startProxy(port)
  const client = connect(proxy.port, '127.0.0.1').setNoDelay(true)
  await once(client, 'connect')
  try {
    await run({ proxy, client, arrived: () => text })
  } finally {
    client.destroy()
    await proxy.close()
    target.close()
  }
}

/** Pieces are told apart by the pause between them. */
async function say(client: Socket, ...pieces: string[]): Promise<void> {
  for (const piece of pieces) {
    client.write(piece)
    await sleep(20)
  }
}

async function arrives(arrived: () => string, text: string): Promise<void> {
  while (arrived().length < text.length) await sleep(5)
  assert.equal(arrived(), text)
}

test('what was delayed is not overtaken, neither by a shorter delay nor by none', () =>
  through(async ({ proxy, client, arrived }) => {
    proxy.delay(60_000)
    await say(client, 'a')
    proxy.delay(1)
    await say(client, 'b')
    assert.equal(arrived(), '')
    proxy.delay(0)
    await say(client, 'c')
    assert.equal(arrived(), '')
    proxy.heal()
    await say(client, 'd')
    await arrives(arrived, 'abcd')
  }))

test('a delay ends by itself', () =>
  through(async ({ proxy, client, arrived }) => {
    proxy.delay(30)
    await say(client, 'a', 'b')
    await arrives(arrived, 'ab')
  }))

test('what is held keeps its place before what follows it', () =>
  through(async ({ proxy, client, arrived }) => {
    proxy.hold('requests')
    await say(client, 'a', 'b')
    assert.equal(proxy.lost.requests, 2)
    proxy.heal()
    await say(client, 'c')
    await arrives(arrived, 'abc')
  }))

test('what is swallowed is lost, and its connection ends when the network is whole again', () =>
  through(async ({ proxy, client, arrived }) => {
    const closed = new Promise(resolve => client.on('error', () => {}).on('close', resolve))
    proxy.swallow('requests')
    await say(client, 'a')
    proxy.heal()
    await closed
    assert.equal(arrived(), '')
  }))
