/**
 * Everybody asks for everything, with something wrong in it or with nothing wrong: each operation and each message, by every role of two teams and by
 * those of no team, in one's own instance and in others. Whatever comes is answered as declared; who may not do a thing does not get it done; nothing
 * that one team does changes anything of the other, and nothing that is the other's is ever in an answer. What each may do is what
 * docs/access/permissions.md says, not what the service thinks.
 *
 * `TEST_FUZZ` multiplies the number of requests (`npm run fuzz` is the long form), `TEST_SEED` repeats a run.
 */
import { strict as assert } from 'node:assert'
import { writeFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { requests } from '@holdfast/protocol/frame-schemas'
import { actions, type OperationFields } from '@holdfast/protocol/operation'
import fc from 'fast-check'
import {
  exampleIdentities,
  type IamEmulator,
  startIamEmulator,
  systemClock,
  systemRandom,
} from '../../packages/server/src/iam-emulator/index.ts'
import { fitting, type Json, type Meaningful } from '../harness/bad-input.ts'
import { type Answered, allOperations, bytesOf, checkerOf, requestOf, type Sent, send } from '../harness/fuzzing.ts'
import { assertWireError, Line } from '../harness/line.ts'
import { temporaryFolder } from '../harness/process.ts'
import { type Ask, asker } from '../harness/rest.ts'
import { rootKey, type Server, startServer } from '../harness/server.ts'
import {
  asked,
  GRANTED,
  hiddenFrom,
  makeKey,
  makeTeam,
  may,
  permissionTable,
  roles,
  secretOf,
  stateOf,
  type Team,
  type Who,
} from '../harness/teams.ts'

const FACTOR = Number(process.env.TEST_FUZZ ?? 1)
/** Of requests over REST, so that the long form (8 times as many) has 50,000. */
const ANSWERS_MIN = 6_250
const SEED = Number(process.env.TEST_SEED ?? Date.now() % 2 ** 31)
/** Of one operation: by those who may not, by those of one team, and by the operator. */
const RUNS = { forbidden: 40 * FACTOR, team: 40 * FACTOR, operator: 10 * FACTOR }
const RUNS_OF_MESSAGE = 30 * FACTOR
/** From where guesses come, so that those who have a key are not taken for guessers. */
const STRANGERS_ADDRESS = '127.0.0.9'
const GUEST = 'IBMid-270000ALICE'

const table = permissionTable()
const folder = temporaryFolder('fuzz-tenants')
const agents = { own: new Agent({ keepAlive: true }), strangers: new Agent({ keepAlive: true }) }
const counts = { done: 0, refused: 0, messages: 0 }
let emulator: IamEmulator
let server: Server
let ask: Ask
let guestToken = ''
/** Of no team of the test, the same in all of it. */
let outsiders: Who[] = []
let secrets: string[] = []

before(async () => {
  process.stderr.write(`fuzz-tenants: seed ${SEED}\n`)
  const listen = { host: '127.0.0.1', port: 0 }
  emulator = await startIamEmulator({ account: exampleIdentities, listen, clock: systemClock, random: systemRandom })
  const issuers = join(folder.path, 'issuers.json')
  writeFileSync(issuers, JSON.stringify({ issuers: [{ name: 'emulator', kind: 'ibm', issuer: emulator.issuer }] }))
  const flags = ['--engine', 'memory', '--issuers', issuers, '--accept-raw-keys']
  server = await startServer({ data: folder.path, flags })
  ask = asker(server.url)
  guestToken = await emulator.signing.sign(emulator.identity(GUEST), 'test')
  outsiders = await makeOutsiders()
  const keys = outsiders.flatMap(({ key }) => (key === null ? [] : [secretOf(key)]))
  // Of a token what nobody can know who does not have it.
  secrets = [rootKey, guestToken.split('.').at(-1) ?? '', ...keys]
  for (const secret of secrets) assert.ok(secret.length > 16)
})

after(async () => {
  for (const agent of Object.values(agents)) agent.destroy()
  await server.stop()
  await emulator.close()
  folder.remove()
})

async function makeOutsiders(): Promise<Who[]> {
  const { id } = await asked(ask)('POST', '/v2/instances', { name: 'former', plan: 'premium' })
  const within = asked(ask, { 'holdfast-instance': String(id) })
  const all = ['manager', 'administrator']
  const expires_at = new Date(Date.now() + 500).toISOString()
  const expired = await makeKey(within, { name: 'expired', roles: all, expires_at })
  const revoked = await makeKey(within, { name: 'revoked', roles: all })
  await within('POST', `/v2/credentials/${revoked.id}/revoke`, {})
  await sleep(600)
  const over = { instance: String(id), power: null, isKnown: false }
  return [
    { name: 'expired', key: expired.key, ...over },
    { name: 'revoked', key: revoked.key, ...over },
    { name: 'nobody', key: null, instance: null, power: null, isKnown: false },
  ]
}

// ---------------------------------------------------------------------------------------------------- a world for each operation

type World = { alpha: Team; beta: Team; guest: Who; operator: Who; meaningful: Meaningful; instances: string[] }

async function makeWorld(): Promise<World> {
  const [alpha, beta] = await Promise.all([
    makeTeam(ask, { name: 'alpha', guest: `iam:${GUEST}` }),
    makeTeam(ask, { name: 'beta' }),
  ])
  const only = { instance: alpha.id, prefix: GRANTED }
  const guest: Who = { name: 'guest', key: guestToken, instance: null, power: 'writer', isKnown: true, only }
  const operator: Who = { name: 'operator', key: rootKey, instance: null, power: 'all', isKnown: true }
  const instances = [alpha.id, beta.id, 'default', 'no-such']
  return { alpha, beta, guest, operator, instances, meaningful: meaningfulOf([alpha, beta], instances) }
}

/** What is there, named by those who should not know of it too. */
function meaningfulOf(teams: readonly Team[], instances: readonly string[]): Meaningful {
  const of = <Value>(values: (team: Team) => Value[]) => fc.constantFrom(...teams.flatMap(values))
  const subject = of(({ ids }) => [...ids.credentials.map(id => `key:${id}`), 'root', `iam:${GUEST}`])
  const name = fc.constantFrom('shared', 'old', 'leader', `${GRANTED}a`, `${GRANTED}b`, 'frozen/x', 'fuzz', '..')
  return {
    name,
    prefix: fc.constantFrom('', 'shared', GRANTED, 'frozen/'),
    instance: fc.constantFrom(...instances),
    id: of(({ ids }) => [...ids.credentials, ...ids.policies, ...ids.roles, 'fuzz-plan', 'manager']),
    session_id: of(team => [team.session.id]),
    to_session: of(team => [team.session.id]),
    lock_id: of(team => [team.session.handle, team.lockId]),
    token: of(team => [team.token, 1]),
    start: of(team => team.cursors),
    after: of(team => team.cursors),
    subject,
    subjects: fc.array(fc.oneof(subject, fc.constantFrom('*', 'group:a')), { minLength: 1, maxLength: 3 }),
    roles: fc.uniqueArray(fc.constantFrom(...roles, 'worker'), { minLength: 1, maxLength: 3 }),
    actions: fc.uniqueArray(fc.constantFrom(...actions), { minLength: 1, maxLength: 5 }),
    plan: fc.constantFrom('premium', 'standard', 'unmetered'),
    capacity_units: fc.constantFrom(1, 10, 20),
    wait_ms: fc.constantFrom(0, 1),
    wait_seconds: fc.constant(0),
    at: fc.constantFrom('2026-01-01T00:00:00Z', '2126-01-01T00:00:00Z'),
    until: fc.constantFrom('2000-01-01T00:00:00Z', '2126-01-01T00:00:00Z'),
    // A plan that allows nothing would end the test, not the service.
    state: fc.constant('offered'),
    unit: fc.constant(Object.fromEntries(limitNames.map(limit => [limit, null]))),
  }
}

const limitNames = [
  'operations_per_second',
  'burst_operations',
  'held_locks',
  'sessions',
  'waiters',
  'watches',
  'stored_bytes',
]

// ---------------------------------------------------------------------------------------------------- one request

type Request = { who: Who; sent: Sent; named: string | undefined; inPath: string | undefined }

function requestBy(operation: OperationFields, { world, whos }: { world: World; whos: readonly Who[] }) {
  const { alpha, beta, operator, meaningful } = world
  // What the operator does in `default` would be there in the next world; and that is what fuzz.test.ts is about.
  const isOperator = whos.includes(operator)
  const instances = isOperator ? [alpha.id, beta.id] : world.instances
  // More of those who ask: else most of what might be done would end at a session that is not theirs.
  const own = isOperator ? [alpha, beta] : teamsOf(whos, world)
  const handles = fc.constantFrom(...[alpha, beta, ...own].map(team => team.session.handle))
  return fc
    .record({
      who: fc.constantFrom(...whos),
      sent: requestOf(operation, { meaningful, headers: () => ({}), spoiltPercent: 25 }),
      named: fc.oneof(
        { weight: isOperator ? 0 : 3, arbitrary: fc.constant(undefined) },
        { weight: 3, arbitrary: fc.constantFrom(...own.map(({ id }) => id)) },
        { weight: 2, arbitrary: fc.constantFrom(...instances) },
      ),
      session: fc.oneof({ weight: 4, arbitrary: handles }, { weight: 1, arbitrary: fc.constant(undefined) }),
    })
    .map(made => completed(operation, made))
}

function teamsOf(whos: readonly Who[], { alpha, beta }: World): Team[] {
  return whos.flatMap(who => [alpha, beta].filter(({ id }) => id === (who.only?.instance ?? who.instance)))
}

type Made = { who: Who; sent: Sent; named: string | undefined; session: string | undefined }

/** With the credential and the instance in the headers, unless something else has been put there. */
function completed(operation: OperationFields, { who, sent, named, session }: Made): Request {
  const headers = { ...sent.headers }
  const isSpoilt = 'Authorization' in headers
  if (!isSpoilt && who.key !== null) headers.Authorization = `Bearer ${who.key}`
  if (session !== undefined) headers['Holdfast-Session'] ??= session
  if (named !== undefined) headers['Holdfast-Instance'] ??= named
  const parts = operation.path.split('/')
  const inPath = sent.path.split('?')[0]?.split('/')[parts.indexOf('{instance}')]
  return {
    who: isSpoilt ? { name: `${who.name}, spoilt`, key: null, instance: null, power: null, isKnown: false } : who,
    sent: { ...sent, headers },
    named: headers['Holdfast-Instance'],
    inPath,
  }
}

function ours({ who, sent }: Request): Promise<Answered> {
  const isStranger = !who.isKnown && sent.headers.Authorization !== undefined
  return send(sent, {
    port: server.port,
    ...(isStranger ? { agent: agents.strangers, localAddress: STRANGERS_ADDRESS } : { agent: agents.own }),
  })
}

function assertHidden(text: string, hidden: readonly string[], about: () => string): void {
  for (const canary of hidden) assert.ok(!text.includes(canary), `${about()} was shown ${canary}: ${text}`)
}

const about = ({ who, sent, named }: Request) => `${who.name} in ${named ?? 'its own'}: ${sent.method} ${sent.path}`

// ---------------------------------------------------------------------------------------------------- an operation

/** What changes what others may see: after it the table no longer says who sees what in the instance. */
const regrants = new Set(['policy.write', 'role.write'])

/** In which the operator alone has anything. */
const theDefault = { id: 'default', session: { id: 'none', handle: 'none.none' } }

type Batch = { whos: readonly Who[]; runs: number; untouched: readonly Team[]; only: 'forbidden' | 'all' }

for (const [index, operation] of allOperations.entries()) {
  const check = checkerOf(operation)
  test(`${operation.version} ${operation.id}: everybody gets what is theirs, and an answer as declared`, async () => {
    const world = await makeWorld()
    const { alpha, beta, guest, operator } = world
    const teams = [alpha, beta]
    const [home, other] = (index + SEED) % 2 === 0 ? [alpha, beta] : [beta, alpha]
    const everybody = [...alpha.whos, ...beta.whos, guest, ...outsiders]
    const ofHome = home === alpha ? [...home.whos, guest] : home.whos
    const able = ofHome.filter(who => may(table, { who, operation, named: who.only?.instance, inPath: home.id }))
    const batches: Batch[] = [
      { whos: everybody, runs: RUNS.forbidden, untouched: teams, only: 'forbidden' },
      { whos: [...ofHome, ...able, ...able], runs: RUNS.team, untouched: [other], only: 'all' },
      { whos: [operator], runs: RUNS.operator, untouched: [], only: 'all' },
    ]
    for (const { whos, runs, untouched, only } of batches) {
      const watched = [...untouched, theDefault]
      const before = only === 'all' && untouched.length === 0 ? [] : await statesOf(watched)
      const done: string[] = []
      const isOurs = (asked: Request) => only === 'all' || !may(table, { ...asked, operation })
      const property = fc.asyncProperty(requestBy(operation, { world, whos }).filter(isOurs), async asked => {
        const answered = await ours(asked)
        const outcome = check(answered)
        counts[outcome]++
        if (outcome === 'done') done.push(about(asked))
        const isPermitted = may(table, { ...asked, operation })
        // What may not be read answers like what is not there, which may be a success.
        if (!isPermitted && operation.action !== 'lock.read') assert.equal(outcome, 'refused', about(asked))
        const hidden = teams.filter(
          team => only === 'forbidden' || untouched.includes(team) || !regrants.has(String(operation.action)),
        )
        const all = JSON.stringify(answered.headers) + answered.text
        // Who has the secret of a session speaks for it, and is shown what it is called.
        const isOf = (team: Team) => asked.sent.headers['Holdfast-Session'] === team.session.handle
        const texts = hidden.flatMap(team =>
          hiddenFrom(asked.who, team, operation).filter(text => !(isOf(team) && text.includes('-session-'))),
        )
        assertHidden(all, [...texts, ...secrets], () => about(asked))
        assertHidden(
          all,
          teams.flatMap(team => team.secrets),
          () => about(asked),
        )
      })
      await fc.assert(property, { seed: SEED, numRuns: runs })
      if (before.length > 0) assert.deepEqual(await statesOf(watched), before, `changed by one of: ${done.join('\n')}`)
      // Whoever runs the service may limit what all else here is asked through.
      if (whos.includes(operator)) await asked(ask)('PATCH', '/v2/instances/default', { overrides: null })
    }
    assert.equal((await ask('GET', '/readyz')).status, 200)
  })
}

function statesOf(teams: readonly Pick<Team, 'id' | 'session'>[]): Promise<unknown[]> {
  return Promise.all(teams.map(team => stateOf(ask, team)))
}

// ---------------------------------------------------------------------------------------------------- the WebSocket

/** Of the whole text of all that has come over a connection. */
async function talk(who: Who, { world, runs, type }: { world: World; runs: number; type: keyof typeof requests }) {
  const { alpha, beta, meaningful } = world
  const hidden = [...[alpha, beta].flatMap(team => [...hiddenFrom(who, team), ...team.secrets]), ...secrets]
  const own = (who.only?.instance ?? who.instance) === alpha.id ? alpha : beta
  const sockets = [await lineOf(who, own)]
  const message = fitting(requests[type] as Json, { ...meaningful, id: fc.nat(), settled: fc.constant(1) })
  const property = fc.asyncProperty(bytesOf(message), async bytes => {
    if (sockets.at(-1)?.isClosed) sockets.push(await lineOf(who, own))
    await sockets.at(-1)?.ask(bytes)
    counts.messages++
  })
  await fc.assert(property, { seed: SEED, numRuns: runs })
  for (const line of sockets) {
    line.close()
    assertHidden(line.heardText, hidden, () => `${who.name} by ${type}`)
  }
}

async function lineOf(who: Who, team: Team): Promise<Line> {
  const line = await Line.connect(server.port, {
    authorization: `Bearer ${who.key}`,
    ...(who.instance === null && { 'holdfast-instance': team.id }),
  })
  assert.equal((await line.raw('[{"type":"hello"}]'))?.type, 'welcome')
  return line
}

for (const [index, type] of (Object.keys(requests) as (keyof typeof requests)[]).entries()) {
  test(`WebSocket ${type}: what one team says does nothing to the other, and shows nothing of it`, async () => {
    const world = await makeWorld()
    const { alpha, beta, guest } = world
    const [home, other] = (index + SEED) % 2 === 0 ? [alpha, beta] : [beta, alpha]
    // Who may open no session has no connection (permissions.test.ts).
    const whos = home.whos.filter(({ power }) => power === 'writer' || power === 'manager')
    if (home === alpha) whos.push(guest)
    const watched = [other, theDefault]
    const before = await statesOf(watched)
    for (const who of whos) await talk(who, { world, runs: RUNS_OF_MESSAGE, type })
    assert.deepEqual(await statesOf(watched), before)
  })
}

test('WebSocket hello: nobody enters where they have no key, nor resumes a session of another instance', async () => {
  const world = await makeWorld()
  const { alpha, beta, guest, instances } = world
  const teams = [alpha, beta]
  const before = await statesOf([...teams, theDefault])
  const greeting = fc.record({
    who: fc.constantFrom(...alpha.whos, ...beta.whos, guest, ...outsiders),
    instance: fc.constantFrom(undefined, ...instances),
    session: fc.constantFrom(undefined, ...teams.map(team => team.session.handle)),
  })
  const property = fc.asyncProperty(greeting, async ({ who, instance, session }) => {
    const line = await Line.connect(server.port, {})
    const authorization = who.key === null ? {} : { authorization: `Bearer ${who.key}` }
    const answer = await line.raw(JSON.stringify([{ type: 'hello', ...authorization, instance, session }]))
    line.close()
    counts.messages++
    if (answer?.type === 'welcome') {
      const entered = teams.find(team => team.id === (instance ?? who.instance))
      assert.ok(who.isKnown && entered?.id === (who.only?.instance ?? who.instance), line.heardText)
      assert.ok(session === undefined || session === entered.session.handle, line.heardText)
      assert.ok(table.get('`hello`')?.has(String(who.power)), line.heardText)
    } else if (answer) assertWireError(answer)
    const isResumed = session !== undefined && answer?.type === 'welcome'
    const others = teams.filter(team => !isResumed || team.session.handle !== session)
    const hidden = [...others.flatMap(team => [...hiddenFrom(who, team), ...team.secrets]), ...secrets]
    assertHidden(line.heardText, hidden, () => `${who.name} by hello`)
  })
  await fc.assert(property, { seed: SEED, numRuns: RUNS_OF_MESSAGE * 4 })
  assert.deepEqual(await statesOf([...teams, theDefault]), before)
})

test('after all of it nothing has failed, and both permitted and refused were many', async () => {
  assert.equal((await ask('GET', '/readyz')).status, 200)
  assert.equal(Object.hasOwn(Object.prototype, 'polluted'), false)
  const answers = counts.done + counts.refused
  assert.ok(answers >= ANSWERS_MIN * FACTOR, `only ${answers} answers`)
  const least = answers / 20
  assert.ok(counts.done > least && counts.refused > least, `too much of one kind: ${JSON.stringify(counts)}`)
  process.stderr.write(`fuzz-tenants: ${JSON.stringify(counts)}\n`)
  assert.ok(!server.output().includes('internal error'), server.output())
})
