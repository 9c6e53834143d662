/** `/v2`: what an instance has used, and what that costs. */
import { Type } from 'typebox'
import { USAGE_ROWS_MAX } from './limits.ts'
import { operation } from './operation.ts'
import * as s from './schemas.ts'

const quantity = (description: string) => Type.Number({ minimum: 0, description })
const unitHours = quantity(
  'Capacity units times hours, as metered: provided is provided, whether it was used or not, and the plan has a minimum.',
)
const usd = quantity('By the price that the plan has now, to a hundred-thousandth of a dollar.')

const planId = Type.String({ description: 'What the catalogue of platforms, and a metering service, call the plan.' })

const row = s.closed({
  start: s.timestamp,
  end: s.timestamp,
  capacity_unit_hours: unitHours,
  by_plan: Type.Optional(
    Type.Array(s.closed({ plan_id: planId, capacity_unit_hours: unitHours }), {
      description: 'The same by the plan that it was provided on: one for each, in the order in which they came.',
    }),
  ),
  cost_usd: usd,
  operations: Type.Record(Type.String(), Type.Integer({ minimum: 0 }), {
    description: 'How often what happened, from the log: each exactly once. The last ten seconds may still be missing.',
  }),
})

const getUsage = operation({
  id: 'getUsage',
  version: 'v2',
  tag: 'Usage',
  method: 'GET',
  path: '/v2/usage',
  action: 'usage.read',
  summary: 'What the instance has used, and what that costs so far and by the end of the month',
  description: `Whoever runs the service may ask for another instance, and for two months for one that is gone for good. Times are cut at UTC hours, days or months; at most ${USAGE_ROWS_MAX} rows.`,
  errors: ['not_found'],
  params: s.noFields,
  query: s.closed({
    instance: s.optional(s.instanceId),
    from: s.optional(s.timestamp),
    to: s.optional(s.timestamp),
    by: s.optional(
      Type.Enum(['hour', 'day', 'month'], { description: 'How long a row is; a day if nothing is said.' }),
    ),
  }),
  body: null,
  replies: {
    200: {
      description:
        'From the beginning of this month until now, if nothing else is said, and never from before the instance was made.',
      body: s.closed({
        instance: s.instanceId,
        crn: Type.String(),
        plan: s.instanceId,
        plan_id: Type.Optional(planId),
        region: Type.String(),
        capacity_units: s.count,
        usage: Type.Array(row),
        month: s.closed({
          start: s.timestamp,
          end: s.timestamp,
          capacity_unit_hours: unitHours,
          cost_usd: usd,
          forecast_usd: quantity('What the month will have cost, if nothing is changed.'),
        }),
      }),
    },
  },
})

export const v2Usage = { getUsage } as const
