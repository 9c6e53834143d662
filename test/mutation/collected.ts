/** Stands for `node:test` in the process of a lane: tests are collected as they are loaded, to be run one after another until the first fails. */

type Inner = { test(name: string, body: (inner: Inner) => unknown): Promise<void>; skip(): void; diagnostic(): void }
type Body = (inner: Inner) => unknown

const tests: Body[] = []

export function test(_name: string, ...rest: readonly unknown[]): void {
  const body = rest.findLast(one => typeof one === 'function')
  if (body) tests.push(body as Body) // what a test is given as its last argument
}

const inner: Inner = {
  async test(_name, body) {
    await body(inner)
  },
  skip: () => undefined,
  diagnostic: () => undefined,
}

/** Those that have been loaded since the last call. */
export function collected(): (() => unknown)[] {
  return tests.splice(0).map(body => () => body(inner))
}
