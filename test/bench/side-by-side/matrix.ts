/**
 * Each contender at each work, in turns: all of them do a work before anybody does it again, so that a machine whose speed drifts is fair to all. The
 * first turn warms up and is not counted. All rounds are kept; medians and ranges are for those who read.
 */
import { type ContenderId, contenders, openContenders } from '../peers/contenders.ts'
import type { Peer } from '../peers/peer.ts'
import { progress } from '../progress.ts'
import { type Round, round } from './round.ts'
import type { Work } from './works.ts'

export type MatrixOptions = {
  contenders: readonly ContenderId[]
  works: readonly Work[]
  rounds: number
  /** Of one round. */
  seconds: number
}

/** `none`: it has no meaning for this one; `failed`: it was tried. */
export type Cell = { rounds: Round[] } | { none: string } | { failed: string }

export type Matrix = {
  rounds: number
  seconds: number
  contenders: { id: string; label: string; name: string; durability: string; waiting: string; commits: string | null }[]
  works: { id: string; name: string; about: string; inFlight: number; isContended: boolean }[]
  /** By work, then by contender. */
  cells: Record<string, Record<string, Cell>>
  notRun: { id: string; label: string; why: string }[]
}

export const everybody = Object.keys(contenders) as ContenderId[] // what its keys are

const NO_WAITING = 'it does not wait: who finds the lock held is told so'

export async function matrix(options: MatrixOptions): Promise<Matrix> {
  const { running, notRun, close } = await openContenders(options.contenders)
  try {
    const cells: Matrix['cells'] = {}
    for (const work of options.works) cells[work.id] = await row(running, work, options)
    return {
      rounds: options.rounds,
      seconds: options.seconds,
      contenders: [...running].map(([id, peer]) => describe(id, peer)),
      works: options.works.map(({ begin, ...work }) => work),
      cells,
      notRun: notRun.map(({ id, why }) => ({ id, why, label: contenders[id].label })),
    }
  } finally {
    await close()
  }
}

async function row(running: Map<ContenderId, Peer>, work: Work, options: MatrixOptions): Promise<Record<string, Cell>> {
  const cells: Record<string, Cell> = {}
  for (const [id, peer] of running)
    cells[id] = work.isContended && peer.waiting === null ? { none: NO_WAITING } : { rounds: [] }
  for (let turn = 0; turn <= options.rounds; turn++) {
    for (const [id, peer] of running) {
      const cell = cells[id]!
      if (!('rounds' in cell)) continue
      progress(
        `${work.name}: ${turn === 0 ? 'warming up' : `round ${turn} of ${options.rounds}`}, ${contenders[id].label}`,
      )
      const measured = await round(peer, work, turn === 0 ? options.seconds / 2 : options.seconds).catch(
        (error: unknown) => ({ failed: String(error) }),
      )
      if ('failed' in measured) cells[id] = measured
      else if (turn > 0) cell.rounds.push(measured)
    }
  }
  return cells
}

function describe(id: ContenderId, { name, durability, waiting, commits }: Peer) {
  return {
    id,
    label: contenders[id].label,
    name,
    durability,
    waiting: waiting ?? NO_WAITING,
    commits: typeof commits === 'string' ? commits : null,
  }
}
