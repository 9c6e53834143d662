/** What a planted bug is: a row of the tables in `bugs/`. */

export type Bug = {
  id: string
  /** What it breaks: rules, repairs and invariants by their names in SAFETY and VERIFICATION. The first is the one that it stands for. */
  rules: readonly [string, ...string[]]
  /** Its number in VERIFICATION section 9, if it is one of that list. */
  listed?: string
  /** What it would do in the field. */
  does: string
  file: string
  /** Text of the file that occurs exactly once … */
  find: string
  /** … and what stands there instead. */
  replace: string
  test: TestOf
}

/** The test that must find it. */
export type TestOf = {
  file: string
  /** The whole name of the test; of one in a suite, with the suite's name and a space before it. */
  name: string
  /** Seeds and counts that keep it quick. */
  env?: Readonly<Record<string, string>>
}
