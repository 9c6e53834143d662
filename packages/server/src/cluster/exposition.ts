/** What is looked for in metrics as Prometheus reads them. */

/** A number that a metric without labels, or its first series, has; null: there is none. */
export function numberIn(text: string, metric: string): number | null {
  const found = new RegExp(`^${metric}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1]
  const number = Number(found)
  return found === undefined || Number.isNaN(number) ? null : number
}

/** How many were at most `le`, for each bucket of a histogram without other labels, from the smallest on; the last one is Infinity. */
export type Bucket = { le: number; count: number }

/** Empty: there is none. */
export function bucketsIn(text: string, metric: string): Bucket[] {
  return [...text.matchAll(new RegExp(`^${metric}_bucket\\{le="([^"]+)"\\} (\\S+)$`, 'gm'))]
    .map(([, le = '', count = '']) => ({
      le: le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le),
      count: Number(count),
    }))
    .sort((one, other) => one.le - other.le)
}
