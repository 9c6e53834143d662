/** What of their packages is used: the one's export map does not name its types, the other has none. */
declare module 'redlock' {
  import type { Redis } from 'ioredis'
  export type Lock = { expiration: number; release(): Promise<unknown>; extend(durationMs: number): Promise<Lock> }
  export default class Redlock {
    constructor(clients: Redis[], settings?: { retryCount?: number })
    acquire(resources: string[], durationMs: number): Promise<Lock>
  }
}

declare module 'node-zookeeper-client' {
  type Failure = Error & { getCode(): number }
  type Done<Result> = (error: Error | null, result: Result) => void
  export type Client = {
    connect(): void
    close(): void
    once(event: 'connected', listener: () => void): void
    on(event: 'expired' | 'disconnected', listener: () => void): void
    create(path: string, data: Buffer | null, mode: number, done: Done<string>): void
    remove(path: string, done: (error: Error | null) => void): void
    getData(path: string, watcher: () => void, done: (error: Failure | null) => void): void
    getChildren(path: string, done: Done<string[]>): void
    setData(path: string, data: Buffer, done: Done<object>): void
  }
  const zookeeper: {
    createClient(servers: string, options: { sessionTimeout: number }): Client
    CreateMode: { PERSISTENT: number; EPHEMERAL_SEQUENTIAL: number }
    Exception: { NO_NODE: number }
  }
  export default zookeeper
}
