/**
 * V8's own threads, which mark garbage and compile, give way to the thread that answers and to those that wait for the disk. On a machine with few cores they
 * have as much to say as these by default: while a large heap is being marked, which takes 50 ms, whoever has become ready waits for a time slice of
 * theirs, 4 ms, again and again (decision 0133).
 */
import { readdirSync, readFileSync } from 'node:fs'
import { constants, setPriority } from 'node:os'

const THREADS = '/proc/self/task'
/** Node has named its threads since version 23. */
const HELPER = 'V8Worker'

/** For the process that it is called in, as far as the system tells its threads apart; elsewhere nothing is done. */
export function lowerHelperThreads(): void {
  if (process.platform !== 'linux') return
  try {
    for (const thread of readdirSync(THREADS)) {
      const name = readFileSync(`${THREADS}/${thread}/comm`, 'utf8').trim()
      // Linux takes the id of a thread where it says process, and has a priority for each.
      if (name === HELPER) setPriority(Number(thread), constants.priority.PRIORITY_LOW)
    }
  } catch {
    // Without /proc, or where it is not permitted, everything works, only less evenly.
  }
}
