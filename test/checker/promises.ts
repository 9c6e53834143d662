/**
 * I21 and what of I20 clients could notice, from what the servers have told (`promising.ts`).
 *
 * A server may answer for a shard from the moment at which it knows that its takeover was committed. What it answers from memory must have been received
 * while its member record could not have been replaced: until M/(1+ρ) after the sending of a beat of which it knew, when it answered, that it had
 * been committed (SAFETY, Lemma 3). What rests on a batch was received before anybody else took over, for the batch has shown that. So
 * windows are as long as their beats reach, end when the shard is given up or the process is gone, and no two of one shard overlap.
 */
import { Violation } from './judge.ts'
import type { Told } from './promising.ts'

/** M/(1+ρ): nobody may declare a server dead sooner after the sending of its last beat. */
const SILENT_MS = 2_000 / 1.1

export type Promises = {
  /** Of the servers, by their places. */
  promises: readonly (readonly Told[])[]
  recorded: readonly { written: { shard: number; batch: { epoch: number; seq: number } } }[]
}
type Found = (check: () => void) => void

type Of<Kind extends Told['e']> = Extract<Told, { e: Kind }>
/** One process, from its start to its end, which is before the start of the next at its place. */
type Life = {
  name: string
  endMs: number
  beats: Of<'beat'>[]
  windows: Window[]
  answers: Of<'answered'>[]
  opened: Of<'opened'>[]
}
/** Several epochs where the server has raised its own. */
type Window = { life: Life; shard: number; epochs: Set<number>; fromMs: number; untilMs: number }

export function judgePromises({ promises, recorded }: Promises, found: Found): { windows: number; answered: number } {
  const lives = promises.flatMap((told, place) => livesOf(told, place))
  const byShard = Map.groupBy(
    lives.flatMap(({ windows }) => windows),
    ({ shard }) => shard,
  )
  for (const windows of byShard.values()) judgeWindows(windows, found)
  const newest = newestOf(recorded)
  let answered = 0
  for (const life of lives) {
    answered += life.answers.length
    for (const answer of life.answers) found(() => judgeAnswer(life, answer, byShard.get(answer.shard) ?? []))
    for (const { shard, epoch, seq } of [...life.opened, ...life.answers]) {
      const last = newest(shard, epoch)
      if (seq <= last)
        found(() =>
          fail(
            `I20: ${life.name} in epoch ${epoch} went on from batch ${seq - 1} of shard ${shard}, and there was ${last}`,
          ),
        )
    }
  }
  const windows = lives.reduce((sum, life) => sum + life.windows.length, 0)
  if (promises.length > 0 && (windows === 0 || answered === 0))
    found(() => fail(`void: the servers wrote down ${windows} windows and ${answered} answers`))
  return { windows, answered }
}

function livesOf(told: readonly Told[], place: number): Life[] {
  const lives: Life[] = []
  for (const line of told) {
    const last = lives.at(-1)
    if (line.e === 'start') {
      if (last) last.endMs = Math.min(last.endMs, line.t)
      const name = `server ${place} (process ${line.pid})`
      lives.push({ name, endMs: Number.POSITIVE_INFINITY, beats: [], windows: [], answers: [], opened: [] })
    } else if (line.e === 'left' && last) last.endMs = Math.min(last.endMs, line.t)
    else if (line.e === 'beat') last?.beats.push(line)
    else if (line.e === 'answered') last?.answers.push(line)
    else if (line.e === 'opened') last?.opened.push(line)
    else if (line.e === 'owner' && last) owned(last, line)
  }
  for (const life of lives) for (const window of life.windows) window.untilMs = endOf(window)
  return lives
}

function owned(life: Life, { shard, server, epoch, t, from }: Of<'owner'>): void {
  const before = life.windows.findLast(window => window.shard === shard)
  if (server === '') {
    if (before) before.untilMs = Math.min(before.untilMs, from)
  } else if (before?.untilMs === Number.POSITIVE_INFINITY && before.epochs.has(epoch - 1)) before.epochs.add(epoch)
  else {
    if (before) before.untilMs = Math.min(before.untilMs, t)
    life.windows.push({ life, shard, epochs: new Set([epoch]), fromMs: t, untilMs: Number.POSITIVE_INFINITY })
  }
}

function endOf({ life, untilMs }: Window): number {
  const beatenMs = life.beats.reduce((latest, { from }) => Math.max(latest, from + SILENT_MS), 0)
  return Math.min(untilMs, life.endMs, beatenMs)
}

function judgeWindows(windows: readonly Window[], found: Found): void {
  const sorted = windows.toSorted((one, other) => Math.min(...one.epochs) - Math.min(...other.epochs))
  for (const [index, { life, shard, fromMs }] of sorted.entries()) {
    const before = sorted[index - 1]
    if (before && before.untilMs > fromMs)
      found(() =>
        fail(
          `I21: ${life.name} answers for shard ${shard} ${Math.round(before.untilMs - fromMs)} ms before ${before.life.name} no longer does`,
        ),
      )
  }
}

function judgeAnswer(life: Life, answer: Of<'answered'>, windows: readonly Window[]): void {
  const { shard, epoch, at, t, isLogged } = answer
  const what = `${life.name} answered for shard ${shard} in epoch ${epoch}`
  const window = windows.find(one => one.life === life && one.epochs.has(epoch))
  if (!window) fail(`I21: ${what}, which it did not own`)
  if (at < window.fromMs) fail(`I21: ${what} what was received ${Math.round(window.fromMs - at)} ms before it did`)
  const last = Math.max(...window.epochs)
  const next = windows.reduce(
    (first, one) => (Math.min(...one.epochs) > last ? Math.min(first, one.fromMs) : first),
    Number.POSITIVE_INFINITY,
  )
  if (at > next) fail(`I21: ${what} what was received ${Math.round(at - next)} ms after another had taken over`)
  if (isLogged) return
  const beatenMs = life.beats.reduce((latest, beat) => (beat.t <= t ? Math.max(latest, beat.from) : latest), 0)
  const lateMs = at - beatenMs - SILENT_MS
  if (lateMs > 0) fail(`I21: ${what} from memory, ${Math.round(lateMs)} ms after it might have been taken for dead`)
}

/** The last batch of a shard that was written in an epoch before. */
function newestOf(recorded: Promises['recorded']): (shard: number, epoch: number) => number {
  const last = new Map<number, Map<number, number>>()
  for (const { written } of recorded) {
    const epochs = last.get(written.shard) ?? new Map<number, number>()
    last.set(written.shard, epochs.set(written.batch.epoch, written.batch.seq))
  }
  const known = new Map<string, number>()
  return (shard, epoch) => {
    const key = `${shard} ${epoch}`
    let seq = known.get(key)
    if (seq === undefined) {
      seq = -1
      for (const [of, to] of last.get(shard) ?? []) if (of < epoch) seq = Math.max(seq, to)
      known.set(key, seq)
    }
    return seq
  }
}

function fail(what: string): never {
  throw new Violation(what)
}
