/** The store as this server is told to use it: sealed, or in the clear, and never the one for the other. */
import type { Clock } from '../clock.ts'
import type { Config } from '../config/config.ts'
import type { Engine } from '../engine/engine.ts'
import { keySourceOf } from '../engine/sealed/key-source.ts'
import { openSealed, type SealedEngine } from '../engine/sealed/sealed.ts'
import type { Random } from '../random.ts'
import { keysUnder } from '../shards/keys.ts'

type Surroundings = {
  clock: Clock
  random: Random
  onRotated?(): void
  onTrouble?(trouble: { what: string; error: unknown }): void
}

/** Sealed, if the settings say so. Closes the engine when it throws: KeyUnavailable, SealMismatch, SealBroken. */
export async function sealedAsTold(
  engine: Engine,
  { encryption, root }: Pick<Config, 'encryption' | 'root'>,
  surroundings: Surroundings,
): Promise<Engine> {
  if (!encryption) return engine
  const source = keySourceOf(encryption, surroundings)
  try {
    return await openSealed(engine, { ...surroundings, root, meta: keysUnder(root).meta, source })
  } catch (error) {
    await engine.close()
    throw error
  }
}

/** What is below the seal, if there is one. */
export function unsealed(engine: Engine): Engine {
  // Only what `openSealed` made says that it is sealed.
  return engine.isSealed ? (engine as SealedEngine).inner : engine
}
