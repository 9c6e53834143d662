/** What `holdfast doctor` makes of Holdfast servers that have answered: whether they are ready, how late they answer, their clocks and versions. */
import type { Clock } from '../clock.ts'
import { MEMBER_TTL_MS } from '../shards/membership.ts'
import type { Bucket } from './exposition.ts'
import { type Finding, notice, ok, problem } from './finding.ts'

/** What a Holdfast server tells of itself when it is asked a few times. */
export type ServerSeen = {
  url: string
  /** Why it is not ready, as `/readyz` says it; null: it is. */
  unready: string | null
  /** Why its metrics could not be read; null: they were. */
  unread: string | null
  /** Ticks that came far too late since it started; null: its metrics do not say. */
  stalls: number | null
  /** Times since it started that its wall clock left the time since boot; null: its metrics do not say. */
  clockSteps: number | null
  /** By their TTL in seconds, the sessions that were opened at it since it started; empty: its metrics do not say. */
  ttls: readonly Bucket[]
  /** Of several questions that it answers from memory. */
  slowestMs: number
  /** Its wall clock, in whole seconds, and how long that answer took. */
  wallMs: number
  roundTripMs: number
  release: string | null
}

/** A stall of this length is half of what keeps an owner an owner. */
export const STALL_MS_MAX = MEMBER_TTL_MS / 4
/** Displayed times and freezes go by the wall clock, nothing else; and it is told in whole seconds. */
export const STEP_MS_MAX = 2_000

/** Of the servers that were asked. */
export function examineServers(servers: readonly ServerSeen[], clock: Clock): Finding[] {
  const findings: Finding[] = []
  for (const server of servers)
    findings.push(
      ...readinessOf(server),
      ...unreadOf(server),
      stallOf(server),
      stepOf(server, clock),
      ...stepsOf(server),
    )
  const releases = [...new Set(servers.flatMap(({ release }) => (release === null ? [] : [release])))]
  if (releases.length > 1)
    findings.push(
      notice(`the servers run different versions: ${releases.join(', ')}`, 'Upgrade all of them to the newest.'),
    )
  else if (releases.length === 1) findings.push(ok(`Holdfast ${releases[0]}`))
  return findings
}

/** It answers nobody but this question. */
export function readinessOf({ url, unready }: ServerSeen): Finding[] {
  if (unready === null) return []
  const change =
    unready === 'stopping'
      ? 'It was told to stop, and others take over; start it again if that was not meant.'
      : 'Its log says more; on a cluster see holdfast cluster status. Nobody is expired meanwhile who could not renew.'
  return [problem(`${url} is not ready: ${unready}`, change)]
}

/** So that nobody takes for well what was not looked at. */
export function unreadOf({ url, unread }: ServerSeen): Finding[] {
  if (unread === null) return []
  const change =
    'Name a key with metrics.read in the instance default, by HOLDFAST_API_KEY or --api-key-file; or start the server with --open-metrics.'
  return [notice(`not looked at: stalls, clock steps and TTLs of ${url}: ${unread}`, change)]
}

/** What is answered from memory takes as long as the loop needs to come round, and the way there. */
export function stallOf({ url, stalls, slowestMs }: ServerSeen): Finding {
  const what = `${url} answers from memory within ${slowestMs.toFixed(0)} ms`
  const change = `More CPU, or fewer locks on that server: its beats come late, and after ${MEMBER_TTL_MS} ms it is taken for dead.`
  if (slowestMs > STALL_MS_MAX) return problem(what, change)
  if (stalls !== null && stalls > 0)
    return notice(`${what}; its event loop has stalled ${stalls} times since it started`, change)
  return ok(what)
}

/** Compared with the middle of the exchange. Nothing depends on it but what is displayed, and freezes. */
export function stepOf({ url, wallMs, roundTripMs }: ServerSeen, clock: Clock): Finding {
  const stepMs = wallMs - (clock.wallMs() - roundTripMs / 2)
  const what = `the clock of ${url} differs by ${Math.round(Math.abs(stepMs) / 1_000)} s from here (displayed times only)`
  return Math.abs(stepMs) <= STEP_MS_MAX + roundTripMs ? ok(what) : notice(what, 'Let both follow a time server.')
}

/** Beside what its clock says now: a clock that was set, and a machine that stood still so that no clock of it counted, which is beyond what is promised (SAFETY S2). */
export function stepsOf({ url, clockSteps }: ServerSeen): Finding[] {
  if (clockSteps === null || clockSteps === 0) return []
  return [
    notice(
      `the clock of ${url} was set ${clockSteps} times since it started, or its machine was frozen`,
      'Slew it rather than set it (chrony: makestep only at the start); a virtual machine that is paused or moved holds no lock safely meanwhile: let what is protected refuse old tokens.',
    ),
  ]
}
