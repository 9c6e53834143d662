/** Runs one scenario from the start of the first process to the end of the last, and says what came of it. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { Violation } from '../checker/judge.ts'
import { type Result, resultOf, resultOfPlay, spreadOf } from './result.ts'
import { defaults, Rig } from './rig.ts'
import type { Scenario } from './scenario.ts'

export type RunOptions = {
  seed: number
  seconds: number
  /** Bounds on time are so many times what they are. Default: 1. */
  slack?: number
  /** Where the files of a run go; they stay when it fails. */
  folder: string
  /** Told the rig when it begins, so that it can be stopped, and what happens now. */
  began?(rig: Rig): void
  tell?(what: string): void
}

export async function runScenario(given: Scenario, options: RunOptions): Promise<Result> {
  const { slack = 1 } = options
  const scenario = given.boundMs === undefined ? given : { ...given, boundMs: given.boundMs * slack }
  const lacks = scenario.needs?.() ?? null
  if (lacks !== null) return { ...nothing(scenario, options), outcome: 'not run', why: [lacks] }
  const tell = options.tell ?? (() => undefined)
  if (scenario.play) return playScenario(scenario, scenario.play, { ...options, tell })
  const { folder, seed, seconds } = options
  const rig = new Rig({ ...defaults, ...scenario.rig, folder, seed, seconds, slack })
  options.began?.(rig)
  let result: Result
  try {
    tell('starts')
    await rig.start()
    tell('works')
    await scenario.strike(rig)
    tell('comes to rest')
    const judgement = await rig.rest()
    result = resultOf(scenario, rig, judgement)
    await verified(scenario, rig, result)
  } catch (error) {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
    const why = [error instanceof Violation ? error.message : what, ...rig.violations.map(one => one.what)]
    result = { ...nothing(scenario, options), outcome: 'failed', why }
  } finally {
    tell('stops')
    await rig.stop()
  }
  if (result.outcome === 'passed') rmSync(folder, { recursive: true, force: true })
  else writeFiles(folder, rig, result)
  return result
}

async function playScenario(
  scenario: Scenario,
  play: NonNullable<Scenario['play']>,
  options: RunOptions & { tell(what: string): void },
): Promise<Result> {
  const { folder } = options
  mkdirSync(folder, { recursive: true })
  let result: Result
  try {
    options.tell('starts')
    result = resultOfPlay(scenario, await play(options), options)
  } catch (error) {
    const why = [error instanceof Error ? (error.stack ?? error.message) : String(error)]
    result = { ...nothing(scenario, options), outcome: 'failed', why }
  }
  if (result.outcome === 'passed') rmSync(folder, { recursive: true, force: true })
  else writeFileSync(`${folder}/result.json`, `${JSON.stringify(result, null, 2)}\n`)
  return result
}

async function verified(scenario: Scenario, rig: Rig, result: Result): Promise<void> {
  try {
    await scenario.verify?.(rig, result)
  } catch (error) {
    if (!(error instanceof Violation)) throw error
    result.outcome = 'failed'
    result.why.push(error.message)
  }
}

/** Beside what the processes have written themselves. */
function writeFiles(folder: string, rig: Rig, result: Result): void {
  const lines = (items: readonly unknown[]) => items.map(item => `${JSON.stringify(item)}\n`).join('')
  writeFileSync(`${folder}/log.jsonl`, lines(rig.recorded))
  writeFileSync(`${folder}/faults.jsonl`, lines(rig.faults))
  writeFileSync(`${folder}/result.json`, `${JSON.stringify(result, null, 2)}\n`)
}

function nothing({ id, name, boundMs }: Scenario, { seed, seconds }: RunOptions): Result {
  return {
    id,
    name,
    outcome: 'not run',
    why: [],
    seed,
    seconds,
    operations: 0,
    unknown: 0,
    faults: {},
    staleRefused: 0,
    counted: {},
    nextGrantMs: spreadOf([]),
    latenessMs: spreadOf([]),
    boundMs: boundMs ?? null,
    violations: {},
    details: {},
    counts: {},
  }
}
