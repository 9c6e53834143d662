/** What platforms send. OSB wants unknown fields to be ignored, the opposite of our own API; inside `parameters`, which are ours, they are refused. */
import { account, capacityUnits, recordName } from '@holdfast/protocol/v2-administration-schemas'
import { Type } from 'typebox'

const open = { additionalProperties: true } as const
const closed = { additionalProperties: false } as const
const id = Type.String({ minLength: 1, maxLength: 512 })
/** For the trail. */
const told = Type.String({ maxLength: 200, pattern: '^[ -~]*$', description: 'Printable characters of ASCII.' })

export const instanceParameters = Type.Object(
  { name: Type.Optional(recordName), capacity_units: Type.Optional(capacityUnits) },
  closed,
)

/** One of its two spellings: IBM's resource controller sends the second. */
export const bindingParameters = Type.Object(
  {
    role: Type.Optional(Type.String({ minLength: 1, maxLength: 128, description: 'A role, by its name or CRN.' })),
    role_crn: Type.Optional(Type.String({ minLength: 1, maxLength: 128, description: 'The same, as IBM sends it.' })),
    serviceid_crn: Type.Optional(Type.String({ maxLength: 512, description: 'Of IBM; not looked at.' })),
    expires_at: Type.Optional(Type.String({ format: 'date-time', description: 'When the key ends.' })),
  },
  closed,
)

export const provisionBody = Type.Object(
  {
    service_id: id,
    plan_id: id,
    // The platform's, for whatever it likes: but for the account, which is billed, nothing in it is refused.
    context: Type.Optional(
      Type.Object({ account_id: Type.Optional(account), instance_name: Type.Optional(Type.Unknown()) }, open),
    ),
    parameters: Type.Optional(instanceParameters),
    maintenance_info: Type.Optional(Type.Unknown()),
  },
  open,
)

export const updateBody = Type.Object(
  {
    service_id: id,
    plan_id: Type.Optional(id),
    parameters: Type.Optional(instanceParameters),
    maintenance_info: Type.Optional(Type.Unknown()),
  },
  open,
)

export const bindBody = Type.Object(
  {
    service_id: id,
    plan_id: id,
    parameters: Type.Optional(bindingParameters),
    predecessor_binding_id: Type.Optional(id),
  },
  open,
)

export const stateBody = Type.Object(
  {
    enabled: Type.Boolean(),
    initiator_id: Type.Optional(told),
    reason_code: Type.Optional(Type.Union([told, Type.Number()])),
  },
  open,
)
