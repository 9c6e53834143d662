/** Who there is in the emulated account: from a file, or the examples. */
import { readFileSync } from 'node:fs'
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { policySchema } from './policies.ts'

const closed = { additionalProperties: false } as const
const text = Type.String({ minLength: 1, maxLength: 1_024 })

const identitySchema = Type.Object(
  {
    /** `IBMid-…`, `iam-ServiceId-…`, `iam-Profile-…` or `crn-crn:…`. */
    iam_id: Type.String({ pattern: '^(IBMid-|iam-ServiceId-|iam-Profile-|crn-crn:).+$', maxLength: 512 }),
    name: text,
    email: Type.Optional(text),
    apikey: Type.Optional(Type.String({ minLength: 16, maxLength: 256 })),
    /** What compute resources of this trusted profile show. */
    cr_tokens: Type.Optional(Type.Array(text)),
    /** The `iam_id`s of those who may assume this trusted profile. */
    assumed_by: Type.Optional(Type.Array(text)),
  },
  closed,
)

const accountSchema = Type.Object(
  {
    account: Type.String({ pattern: '^[A-Za-z0-9-]{1,64}$' }),
    identities: Type.Array(identitySchema, { minItems: 1, maxItems: 10_000 }),
    policies: Type.Optional(Type.Array(policySchema, { maxItems: 10_000 })),
    /** Role → actions, beside the built-in ones. */
    roles: Type.Optional(Type.Record(Type.String(), Type.Array(text))),
  },
  closed,
)

export type EmulatedIdentity = Static<typeof identitySchema>
export type Account = Static<typeof accountSchema>

const check = Compile(accountSchema)

/** @throws Error with a sentence for people. */
export function readAccount(path: string): Account {
  let content: unknown
  try {
    content = JSON.parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new Error(`The file ${path} cannot be read as JSON: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    })
  }
  if (check.Check(content)) return content
  const [first] = check.Errors(content)
  throw new Error(`${path}: ${first?.instancePath || 'the file'} ${first?.message ?? 'is not valid'}.`)
}

const exampleAccount = 'a1b2c3d4e5f60718293a4b5c6d7e8f90'

/** One of each kind. Their keys are in the source for everybody to read. */
export const exampleIdentities: Account = {
  account: exampleAccount,
  identities: [
    {
      iam_id: 'IBMid-270000ALICE',
      name: 'Alice',
      email: 'alice@example.com',
      apikey: 'emulator-key-of-alice-only-for-tests',
    },
    { iam_id: 'IBMid-270000BOB', name: 'Bob', email: 'bob@example.com', apikey: 'emulator-key-of-bob-only-for-tests' },
    {
      iam_id: 'iam-ServiceId-c0ffee00-1111-4222-8333-444455556666',
      name: 'orders',
      apikey: 'emulator-key-of-orders-only-for-tests',
    },
    {
      iam_id: 'iam-Profile-5ca1ab1e-aaaa-4bbb-8ccc-ddddeeeeffff',
      name: 'batch',
      cr_tokens: ['emulator-cr-token-of-batch'],
      assumed_by: ['IBMid-270000ALICE'],
    },
    {
      iam_id: `crn-crn:v1:bluemix:public:resource-controller::a/${exampleAccount}::resource-broker:0b5e55ed-0000-4000-8000-000000000001`,
      name: 'resource-controller',
    },
  ],
}
