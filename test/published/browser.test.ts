/** The library of the package in a real browser, unbundled, against a real server of another origin. */
import { strict as assert } from 'node:assert'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { connect, type Holdfast } from '@holdfast/client'
import type { Browser, Page as Tab } from 'playwright-core'
import { temporaryFolder } from '../harness/process.ts'
import { rootKey, type Server, startServer } from '../harness/server.ts'
import { noBrowser, startBrowser } from './browser.ts'
import { type Page, type Pages, servePages } from './pages.ts'
import { installPublished, type Project } from './project.ts'

const folder = temporaryFolder('browser')
let project: Project
let browser: Browser
let friend: Pages
let stranger: Pages
let server: Server
let holdfast: Holdfast
/** Every address that any page has asked for. */
const asked: string[] = []

before(async () => {
  if (noBrowser) return
  project = installPublished()
  friend = await servePages(project)
  stranger = await servePages(project)
  server = await startServer({ data: join(folder.path, 'data'), flags: ['--allowed-origins', friend.origin] })
  browser = await startBrowser()
  holdfast = connect({ url: server.url, apiKey: rootKey, name: 'an operator' })
})

after(async () => {
  await holdfast?.close()
  await browser?.close()
  await server?.stop()
  await friend?.close()
  await stranger?.close()
  project?.remove()
  folder.remove()
})

/** A tab whose page has loaded the library; what the page says on its console, and its uncaught errors, end up in `problems`. */
async function open(address: string): Promise<{ tab: Tab; problems: string[] }> {
  const tab = await browser.newPage()
  const problems: string[] = []
  tab.on('pageerror', error => problems.push(String(error)))
  tab.on('request', request => asked.push(request.url()))
  tab.on('websocket', socket => asked.push(socket.url()))
  await tab.goto(address)
  return { tab, problems }
}

async function openPage(pages: Pages): Promise<{ tab: Tab; problems: string[] }> {
  const opened = await open(pages.origin)
  await opened.tab.waitForFunction(() => 'client' in globalThis)
  return opened
}

const access = () => ({ url: server.url, apiKey: rootKey })
const inBrowser = { skip: noBrowser }

test('a page holds locks, shows them, sees them happen, and is excluded by others', inBrowser, async () => {
  const { tab, problems } = await openPage(friend)
  const seen = await tab.evaluate(async ({ url, apiKey }) => {
    const { client } = globalThis as unknown as Page // it runs in the page
    const holdfast = client.connect({ url, apiKey, name: 'the page' })
    const events: string[] = []
    const stopped = new AbortController()
    const opened = await holdfast.acquire('page/first')
    const watching = (async () => {
      for await (const item of holdfast.watch({ prefix: 'page/', signal: stopped.signal })) {
        events.push(`${item.type} ${'lock' in item ? item.lock : ''}`)
        if (item.type === 'released' && item.lock === 'page/second') return
      }
    })()
    // Granted once the watch is open, so that it sees all of it.
    while (!events.includes('queued page/first')) {
      const waiting = client.connect({ url, apiKey })
      await waiting.acquire('page/first', { waitMs: 50 }).catch(() => null)
      await waiting.close()
    }
    const used = await holdfast.using('page/second', { waitMs: 5_000 }, async lock => ({
      token: lock.token,
      aborted: lock.signal.aborted,
      remains: lock.validForMs() > 0,
      state: (await holdfast.rest.show('page/second')).state,
    }))
    await watching
    const list: string[] = []
    for await (const lock of holdfast.rest.list({ prefix: 'page/' })) list.push(lock.name)
    const web = await holdfast.navigatorLocks.request('page/web', lock => lock?.name)
    const query = await holdfast.navigatorLocks.query()
    await opened.release()
    await holdfast.close()
    return { used, events, list, web, held: query.held?.map(lock => lock.name), grows: used.token > opened.token }
  }, access())
  assert.deepEqual({ ...seen.used, token: 0 }, { token: 0, aborted: false, remains: true, state: 'held' })
  assert.ok(seen.grows)
  assert.deepEqual(seen.list, ['page/first'])
  assert.equal(seen.web, 'page/web')
  assert.deepEqual(seen.held, ['page/first'])
  const second = seen.events.filter(event => event.endsWith('page/second'))
  assert.deepEqual(second, ['granted page/second', 'released page/second'])
  assert.deepEqual(problems, [])
  await tab.close()
})

test('a page whose lock is taken hears why, and stops before anybody else has it', inBrowser, async () => {
  const { tab } = await openPage(friend)
  const forced = tab.evaluate(async ({ url, apiKey }) => {
    const { client } = globalThis as unknown as Page // it runs in the page
    const holdfast = client.connect({ url, apiKey, name: 'the page' })
    const lock = await holdfast.acquire('taken')
    await new Promise(resolve => lock.signal.addEventListener('abort', resolve))
    const error: unknown = lock.signal.reason
    await holdfast.close()
    return error instanceof client.LockLostError ? error.reason : String(error)
  }, access())
  while ((await holdfast.rest.show('taken').catch(() => null))?.state !== 'held') await tab.waitForTimeout(10)
  await holdfast.rest.forceRelease('taken', { reason: 'a test' })
  assert.equal(await forced, 'forced')
  await tab.close()
})

test('a page that loses the service stops believing by itself', inBrowser, async () => {
  const own = await startServer({ data: join(folder.path, 'own'), flags: ['--allowed-origins', friend.origin] })
  const { tab } = await openPage(friend)
  const lost = tab.evaluate(
    async ({ url, apiKey }) => {
      const { client, document } = globalThis as unknown as Page // it runs in the page
      const holdfast = client.connect({ url, apiKey, ttlMs: 1_000 })
      const lock = await holdfast.acquire('alone')
      document.title = 'held'
      await new Promise(resolve => lock.signal.addEventListener('abort', resolve))
      const error: unknown = lock.signal.reason
      const remains = lock.validForMs()
      void holdfast.close()
      return { reason: error instanceof client.LockLostError ? error.reason : String(error), remains }
    },
    { url: own.url, apiKey: rootKey },
  )
  await tab.waitForFunction(() => (globalThis as unknown as Page).document.title === 'held') // it runs in the page
  await own.kill()
  const { reason, remains } = await lost
  assert.equal(reason, 'connection')
  assert.ok(remains <= 0)
  await tab.close()
})

test('a page of an origin that nobody has named gets nowhere, and is told what to look at', inBrowser, async () => {
  const { tab } = await openPage(stranger)
  const seen = await tab.evaluate(async ({ url, apiKey }) => {
    const { client } = globalThis as unknown as Page // it runs in the page
    const holdfast = client.connect({ url, apiKey, connectTimeoutMs: 500 })
    const say = (error: unknown) =>
      error instanceof client.HoldfastError ? `${error.code}: ${error.message}` : String(error)
    const acquired = await holdfast.acquire('stolen').then(() => 'acquired', say)
    const shown = await holdfast.rest.show('stolen').then(() => 'shown', say)
    await holdfast.close()
    return { acquired, shown }
  }, access())
  assert.match(seen.acquired, /^unavailable: .*allowed_origins/)
  assert.match(seen.shown, /^unavailable: .*allowed_origins/)
  await assert.rejects(holdfast.rest.show('stolen'), { code: 'not_found' })
  await tab.close()
})

test('a page that the server itself serves needs no permission', inBrowser, async () => {
  const { tab, problems } = await open(`${server.url}/docs`)
  const answered = await tab.evaluate(async apiKey => {
    const { location } = globalThis as unknown as Page // it runs in the page
    const response = await fetch('/v2/whoami', { headers: { authorization: `Bearer ${apiKey}` } })
    const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/v2/connect`)
    await new Promise((resolve, reject) => {
      socket.onopen = resolve
      socket.onerror = reject
    })
    socket.close()
    return response.status
  }, rootKey)
  assert.equal(answered, 200)
  assert.deepEqual(problems, [])
  await tab.close()
})

test('no address that a page has asked for holds the key', inBrowser, () => {
  assert.ok(asked.some(url => url.startsWith('ws://')))
  assert.ok(asked.some(url => url.includes('/v2/locks')))
  assert.deepEqual(
    asked.filter(url => url.includes(rootKey)),
    [],
  )
})
