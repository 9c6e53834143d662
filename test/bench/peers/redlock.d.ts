/** The package has types that its export map does not name; these are the parts that are used. */
declare module 'redlock' {
  import type { Redis } from 'ioredis'
  export default class Redlock {
    constructor(clients: Redis[])
    acquire(resources: string[], durationMs: number): Promise<{ release(): Promise<unknown> }>
  }
}
