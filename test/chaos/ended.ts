/** Servers that end by themselves, at their start or later: they are started again, as a service manager does it, and what they said is kept for the judge. */
import type { Server } from '../harness/server.ts'

/** `why`: what it said last. `isStart`: it never came to be ready. */
export type Ended = { place: number; why: string; isStart: boolean }

/** As pino writes `fatal`. */
const FATAL = '"level":60'
const SAID_CHARS_MAX = 1_500
/** On a machine that is busy with other things a server may be taken for dead while it loads. */
const STARTS_MAX = 4
/** What a server says that others took for dead. */
export const declaredDead = /it was declared dead/

/** As a service manager does. `failed` hears of each start that was not the last. @throws when it ends again and again. */
export async function supervised<Started>(
  start: () => Promise<Started>,
  failed: (error: unknown) => void = () => undefined,
): Promise<Started> {
  for (let starts = 1; ; starts++) {
    try {
      return await start()
    } catch (error) {
      if (starts === STARTS_MAX) throw error
      failed(error)
    }
  }
}

/** Whether it has ended, and was neither killed nor told to. */
export function hasEndedItself({ child: { exitCode, signalCode } }: Pick<Server, 'child'>): boolean {
  return (exitCode !== null && exitCode !== 0) || (signalCode !== null && signalCode !== 'SIGKILL')
}

/** Why it ends, where it has said that, or else its last words. */
export function saidLast(output: string): string {
  const lines = output.trimEnd().split('\n')
  return (lines.findLast(line => line.includes(FATAL)) ?? lines.slice(-3).join(' ')).slice(0, SAID_CHARS_MAX)
}

/** Those that nothing explains: not what the scenario lets end a server, nor that one which loads its sources got no time to beat. */
export function unexplained(ended: readonly Ended[], ends: RegExp | undefined): Ended[] {
  return ended.filter(({ why, isStart }) => !ends?.test(why) && !(isStart && declaredDead.test(why)))
}
