/** Reads that are needed to go on: asked for until the store answers. What cannot become an answer by waiting is thrown. */
import { type Clock, pause } from '../clock.ts'
import { EngineCompacted, EngineFatal, EngineRefusal } from '../engine/engine.ts'

/** The engine has tried for some time by itself. */
const AGAIN_MS = 100

export async function readKnown<Result>(clock: Clock, read: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await read()
    } catch (error) {
      const isFinal = error instanceof EngineFatal || error instanceof EngineRefusal || error instanceof EngineCompacted
      if (isFinal) throw error
      // A store that is out of reach: the beats tell of it, and stop.
    }
    await pause(clock, AGAIN_MS)
  }
}
