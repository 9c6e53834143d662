/** What the acts of the script play on: commands in short. */
import type { Command, ConfigFields, Labels } from '../../packages/server/src/locks/model.ts'
import { acquireOf } from './core-world.ts'
import type { Tape } from './tape.ts'

type Of<Type extends Command['type']> = Omit<Extract<Command, { type: Type }>, 'type' | 'by'>
export const wait = { waitMs: null }

export class Stage {
  readonly tape: Tape

  constructor(tape: Tape) {
    this.tape = tape
  }

  do<Type extends Command['type']>(type: Type, fields: Of<Type>, by = 'ann'): void {
    // The fields are those of the type that stands beside them.
    this.tape.do({ type, by, ...fields } as unknown as Command)
  }
  open(ttlMs = 10_000, labels: Labels | null = null): string {
    const reply = this.tape.do({ type: 'open_session', by: 'ann', ttlMs, labels })
    if (reply.ok !== true || reply.type !== 'session') throw new Error(`no session: ${JSON.stringify(reply)}`)
    return reply.session.id
  }
  /** The token, or that of nobody. */
  take(...[session, claims, fields]: Parameters<typeof acquireOf>): number {
    const reply = this.tape.do(acquireOf(session, claims, fields))
    return reply.ok === true && reply.type === 'granted' ? reply.grants[0]!.token : 0
  }
  release(session: string, lock: string, token: number, request: number | string | null = null): void {
    this.do('release', { session, grants: [{ lock, token }], request })
  }
  configure(lock: string, fields: ConfigFields, replaces = false, ifVersion: number | '*' | null = null): void {
    this.do('configure', { lock, fields, replaces, ifVersion })
  }
  pass(ms: number): void {
    this.tape.now += ms
  }
}
