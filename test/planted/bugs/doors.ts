/** The doors: who is let in, and as whom. */
import type { Bug } from '../bug.ts'

const server = 'packages/server/src'
const auth = (name: string) => ({ file: `${server}/auth/auth.test.ts`, name })
const rootKey = {
  file: `${server}/auth/authenticator.test.ts`,
  name: 'the root key opens as ever, as bearer and as password, whatever it looks like',
}
const values = (name: string) => ({ file: `${server}/http/values.test.ts`, name })
const v2 = (name: string) => ({ file: `${server}/http/v2/v2.test.ts`, name })

export const doorBugs: readonly Bug[] = [
  {
    id: 'any-key-opens',
    rules: ['V6'],
    does: 'Whoever brings a key is let in, whatever key it is.',
    file: `${server}/auth/authenticator.ts`,
    find: 'if (timingSafeEqual(digest, root)) return',
    replace: 'if (digest.length === root.length) return',
    test: rootKey,
  },
  {
    id: 'beginning-of-the-key-opens',
    rules: ['V6'],
    does: 'Of a key only so many characters count: what comes after them may be anything.',
    file: `${server}/auth/authenticator.ts`,
    find: 'digest: digestOf(text), claimed }',
    replace: 'digest: digestOf(text.slice(0, 26)), claimed }',
    test: rootKey,
  },
  {
    id: 'session-secret-not-checked',
    rules: ['V6', 'I10'],
    does: 'The id of a session, which everybody can see, is enough to release what it holds.',
    file: `${server}/auth/secrets.ts`,
    find: 'return isSame(handle.slice(dot + 1), secretOf(instance, session)) ? session : null',
    replace: 'return handle.slice(dot + 1) === "" ? null : session',
    test: auth('a session secret opens its own session only'),
  },
  {
    id: 'session-of-another',
    rules: ['V6', 'I10'],
    does: 'The session in the path is renewed and closed, whichever one the header proves.',
    file: `${server}/http/call.ts`,
    find: 'if (session === named) return session\n',
    replace: "if (session !== '') return named\n",
    test: v2('without a session an acquire is told how to get one; with a wrong secret it is 401'),
  },
  {
    id: 'resumed-without-its-secret',
    rules: ['V6', 'I10'],
    does: 'A connection that names a session of somebody else gets it, and hears all that it holds.',
    file: `${server}/http/connect/greeting.ts`,
    find: 'const session = doors.secrets.open(caller.instance, message.session)',
    replace: "const session = message.session.split('.')[0] ?? null",
    test: {
      file: `${server}/http/connect/connect.test.ts`,
      name: 'a hello that is not valid is answered under id 0, and the connection closed',
    },
  },
  {
    id: 'hello-after-the-upgrade',
    rules: ['V6'],
    does: 'Whoever shows a certificate is let in whatever key its `hello` has, and what it asks for is done in the name of the certificate.',
    file: `${server}/http/connect/greeting.ts`,
    find: 'if (authorization !== undefined && authorization !== presented.authorization)',
    replace: 'if (!caller && authorization !== undefined)',
    test: {
      file: `${server}/http/shut-out.test.ts`,
      name: 'the key in a hello is what counts, whatever certificate or header came with the upgrade; a wrong one proves nobody',
    },
  },
  {
    id: 'lock-id-by-its-name',
    rules: ['V6', 'I10'],
    does: 'Half of a lock_id, which is seen by all, releases the lock.',
    file: `${server}/http/v1/lock-id.ts`,
    find: 'const session = call.doors.secrets.open(call.caller.instance, lockId)',
    replace: "const session = lockId.split('.')[0] ?? null",
    test: {
      file: `${server}/http/v1/v1.test.ts`,
      name: 'a lock_id that is not that of this lock ends nothing, and tells nothing',
    },
  },
  {
    id: 'value-for-who-watches',
    rules: ['V6'],
    does: 'Who may watch an election and not read it is told what its leader has written.',
    file: `${server}/http/v2/observe.ts`,
    find: '(await withoutUnreadOne(call, name, election.leader)) !== null',
    replace: 'withoutUnreadOne !== null',
    test: values('who may watch an election hears who leads, and the value only while it may be read, as decided here'),
  },
  {
    id: 'value-for-who-configures',
    rules: ['V6'],
    does: 'Who may configure a lock and not read it is told its value by a change of nothing.',
    file: `${server}/http/v2/configuration.ts`,
    find: '  await withoutUnreadOne(call, name, body)\n',
    replace: '',
    test: values('who may configure a lock is answered with its value only if it may be read, as decided here'),
  },
  {
    id: 'watch-ends-a-stop',
    rules: ['P15', 'I18'],
    does: 'A watch that is asked for while the server stops ends the process, with the answers that it still owes.',
    file: `${server}/http/connect/watches.ts`,
    find: 'if (!(error instanceof HoldfastError)) throw error',
    replace: 'throw error',
    test: {
      file: `${server}/http/connect/connection.test.ts`,
      name: 'a watch that is asked for while the server stops is refused, and the connection goes on',
    },
  },
  {
    id: 'dry-run-is-done',
    rules: ['V6'],
    does: 'A request that asks to be tried only is carried out: a grant, or a lock that is deleted.',
    file: `${server}/http/app.ts`,
    find: 'tooLong(path) ?? dryRunRefusal(request.headers) ?? unknownVersion',
    replace: 'tooLong(path) ?? unknownVersion',
    test: {
      file: `${server}/http/refusals.test.ts`,
      name: 'a dry run is refused by every operation, and nothing has been done',
    },
  },
  {
    id: 'id-that-is-none-starts-from-now',
    rules: ['I13'],
    does: 'A stream that is resumed after an id that is no cursor begins with now: events are missing, and nobody is told.',
    file: `${server}/http/sse.ts`,
    find: '.test(id) ? id : NO_CURSOR',
    replace: '.test(id) ? id : undefined',
    test: {
      file: `${server}/http/sse.test.ts`,
      name: 'a cursor that is foreign, too old or none at all gets a reset with a new one',
    },
  },
  {
    id: 'late-before-the-wait-is-over',
    rules: ['V6'],
    does: 'A long wait over REST is called unknown, and given up, while it is still in line.',
    file: `${server}/http/call.ts`,
    find: 'clock.after((waitMs ?? 0) + ANSWER_MS_MAX',
    replace: 'clock.after(ANSWER_MS_MAX',
    test: {
      file: `${server}/http/late.test.ts`,
      name: 'an answer may take ANSWER_MS_MAX beyond the wait; then its outcome is called unknown',
    },
  },
  {
    id: 'store-away-is-a-bug',
    rules: ['V6'],
    does: 'While the store does not answer, what reads from it is told that the service has a bug.',
    file: `${server}/engine/answering.ts`,
    find: 'if (!(error instanceof EngineUnavailable)) throw error',
    replace: 'if (error instanceof EngineUnavailable) throw error',
    test: {
      file: `${server}/http/late.test.ts`,
      name: 'what is read from a store that does not answer is unavailable, and no bug of ours',
    },
  },
  {
    id: 'key-of-another-gives-his-grant',
    rules: ['V6'],
    does: 'Whoever repeats the `Idempotency-Key` of somebody else is given his `lock_id`, and both believe.',
    file: `${server}/http/v1/acquire-lock.ts`,
    find: 'key: ownKey(key, call.caller.subject)',
    replace: 'key: ownKey(key, "")',
    test: {
      file: `${server}/http/shut-out.test.ts`,
      name: 'an idempotency key is its sender’s: nobody is given the grant of another by it',
    },
  },
  {
    id: 'revoked-while-it-was-coming',
    rules: ['V6'],
    does: 'A key that was revoked while the body of its request was arriving is served.',
    file: `${server}/http/routes.ts`,
    find: '      if (ended) throw ended\n',
    replace: '',
    test: {
      file: `${server}/http/shut-out.test.ts`,
      name: 'a key that is revoked while its request arrives does nothing any more',
    },
  },
  {
    id: 'decided-before-the-body',
    rules: ['V6'],
    does: 'What concerns an instance is carried out as it was permitted when the headers came: whoever sends the body late keeps rights that were taken away.',
    file: `${server}/http/routes.ts`,
    find: 'const isAskedAgain = body !== null && isDecidedByUrl(operation)',
    replace: 'const isAskedAgain = body === null && isDecidedByUrl(operation)',
    test: {
      file: `${server}/http/shut-out.test.ts`,
      name: 'what administration and the broker are asked for is decided when the body has come, not when the headers had',
    },
  },
  {
    id: 'clients-before-beats',
    rules: ['I8'],
    does: 'All that lies in the sockets is handled before anything else: a server that many thousands talk to is declared dead, and so is the next one.',
    file: `${server}/http/connect/intake.ts`,
    find: 'return nowMs - this.#sinceMs < SLICE_MS',
    replace: 'return true',
    test: {
      file: `${server}/http/connect/intake.test.ts`,
      name: 'what fits into SLICE_MS is handled as it comes; the rest waits, in its order, and nothing more of its senders is read',
    },
  },
  {
    id: 'stream-for-who-has-gone',
    rules: ['I17'],
    does: 'A stream is begun for a client that has gone while it was being decided: nobody hears of its end, and one watch after another of its instance is taken until there may be no more.',
    file: `${server}/http/sse.ts`,
    find: 'if (reply.raw.destroyed) return reject',
    replace: 'if (reply.raw.headersSent) return reject',
    test: {
      file: `${server}/http/undecided.test.ts`,
      name: 'a stream whose client has gone while it was being decided is not begun: nobody would hear of its end',
    },
  },
]
