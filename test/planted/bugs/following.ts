/** Clients follow the server that decides. */
import type { Bug } from '../bug.ts'

const client = 'packages/client/src'
const servers = (name: string) => ({ file: `${client}/servers.test.ts`, name })

export const followingBugs: readonly Bug[] = [
  {
    id: 'nobody-hears-who-decides',
    rules: ['I8'],
    does: 'Connections are not told that another server has come to decide: after each rolling restart more of them are served at second hand, for good.',
    file: 'packages/server/src/routing/listening.ts',
    find: "    if (this.attach()) this.#push({ type: 'moved' })\n",
    replace: '    this.attach()\n',
    test: {
      file: 'packages/server/src/routing/kept-open.test.ts',
      name: 'a session hears on each of its connections that another server has come to decide, and when it is back',
    },
  },
  {
    id: 'left-for-one-that-is-not-reached',
    rules: ['I8', 'P16'],
    does: 'A server is left before the one that decides is reached: where only the servers reach that one, each hint costs what is held its time.',
    file: `${client}/connection.ts`,
    find: '    this.#next = { transport: this.#open(url), place }\n',
    replace: '    this.#next = { transport: this.#open(url), place }\n    this.drop("it is left")\n',
    test: servers(
      'where the one that decides cannot be reached from here, what is there goes on, and it is left in peace',
    ),
  },
  {
    id: 'gone-back-to-at-once',
    rules: ['I8'],
    does: 'A server that has welcomed nobody is gone to again as soon as another one names it, and so on.',
    file: `${client}/connection.ts`,
    find: '    if (this.#isArriving) this.#mayMoveAtMs = this.#openedAtMs + MOVE_MS_MIN\n',
    replace: '    this.#mayMoveAtMs = 0\n',
    test: servers('one that does not welcome us is left for the next, and not gone to again soon'),
  },
  {
    id: 'list-forgotten-on-the-way',
    rules: ['I8'],
    does: 'A list of grants is asked for, the connection moves, the session turns out to have ended: who waits for the list waits for ever.',
    file: `${client}/renewal.ts`,
    find: '    if (this.#listeners.length > 0) this.catchUp()\n',
    replace: '',
    test: servers('who waits for that list hears of it when the session has ended on the way'),
  },
  {
    id: 'stuck-between-two',
    rules: ['I8'],
    does: 'A client on its way to the server that decides hears that another one does: it goes nowhere, and asks nothing where it is.',
    file: `${client}/connection.ts`,
    find: '    if (this.#next) this.#stay()\n    else this.#stopMoving()\n',
    replace: '    this.#stopMoving()\n',
    test: servers('where it is told on the way there that yet another one decides, it goes on where it is'),
  },
]
