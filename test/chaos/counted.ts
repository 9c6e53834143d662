/** What the process of a server has, as its tap counts it. */
export type Counted = { heapBytes: number; outsideBytes: number; descriptors: number }

/** Where the tap that writes to `path` writes its counts. */
export function countedAt(path: string): string {
  return `${path}.counted`
}
