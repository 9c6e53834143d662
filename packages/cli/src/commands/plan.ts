/** `holdfast plan …`: what there is to be had, and what it costs. */
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { allOf } from '../administration/pages.ts'
import { printJson, printLine, table } from '../output.ts'
import { restOf } from '../rest.ts'

type PlanView = {
  id: string
  priceUsd: number
  perUnits: number
  minUnits: number
  stepUnits: number
  unit: Record<string, number | null>
  state: string
}

export function define(program: Command): void {
  const plan = program
    .command('plan')
    .summary('the plans, with their prices and what a capacity unit buys')
    .enablePositionalOptions()
  withAccess(plan.command('list'))
    .description('List the plans, with their prices and what one capacity unit buys.')
    .action(async (options: AccessOptions) => {
      const plans = await allOf<PlanView>(restOf(options), '/v2/plans', 'plans')
      if (options.json) return printJson({ plans })
      const shown = (value: number | null | undefined) =>
        value === null || value === undefined ? 'no limit' : String(value)
      const rows = plans.map(({ id, priceUsd, perUnits, minUnits, stepUnits, unit, state }) => [
        id,
        `$${priceUsd.toFixed(2)} an hour for ${perUnits}`,
        `${minUnits}, steps of ${stepUnits}`,
        shown(unit.operationsPerSecond),
        shown(unit.heldLocks),
        shown(unit.sessions),
        shown(unit.waiters),
        shown(unit.watches),
        shown(unit.storedBytes),
        state,
      ])
      printLine(
        table(['PLAN', 'PRICE', 'UNITS', 'OPS/S', 'HELD', 'SESSIONS', 'WAITERS', 'WATCHES', 'BYTES', 'STATE'], rows),
      )
    })
}
