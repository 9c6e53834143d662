/** The rooms whose tests are tested, and which tests look at them: the quickest first, for most mutants go no further. */

export type Round = {
  tests: readonly string[]
  /** Seeds and counts that keep it quick, and the same each time. */
  env?: Readonly<Record<string, string>>
  /** Many times what it takes on two busy cores. */
  msMax: number
}

export type Room = { name: string; files: string; without: readonly string[]; rounds: readonly Round[] }

const server = 'packages/server/src'
const shards = (...names: string[]) => names.map(name => `${server}/shards/${name}.test.ts`)
const locks = [
  'recorded',
  'serving',
  'claims',
  'decide',
  'ending',
  'deadlock',
  'repeats',
  'carry',
  'lines',
  'showing',
  'evicting',
  'limits',
  'lock-table',
  'quota',
].map(name => `${server}/locks/${name}.test.ts`)
const core = 'test/simulation/core.test.ts'

export const rooms: readonly Room[] = [
  {
    name: 'locks',
    files: `${server}/locks/*.ts`,
    // Types alone.
    without: [`${server}/locks/model.ts`, `${server}/locks/entries.ts`],
    rounds: [
      { tests: [...locks, core], env: { TEST_RUNS: '120', TEST_SEED: '1' }, msMax: 30_000 },
      { tests: shards('turn', 'feed', 'callers', 'storage', 'tokens'), msMax: 60_000 },
    ],
  },
  {
    name: 'shards',
    files: `${server}/shards/*.ts`,
    // Types, and a program of a test.
    without: [`${server}/shards/port.ts`, `${server}/shards/telemetry.ts`, `${server}/shards/second-process.ts`],
    rounds: [
      {
        tests: shards(
          ...['turn', 'callers', 'assignment', 'ownership', 'log', 'tokens', 'membership', 'ahead', 'between-turns'],
          ...['admission', 'feed', 'storage'],
        ),
        msMax: 40_000,
      },
      { tests: shards('carrying', 'cleaner', 'recovery', 'limits', 'restoring', 'timers', 'shards'), msMax: 60_000 },
      { tests: shards('promises'), msMax: 60_000 },
    ],
  },
]
