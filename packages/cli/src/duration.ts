/** Durations and numbers as people write them: `500ms`, `30s`, `5m`, `2h`, `1d`. */
import { InvalidArgumentError } from 'commander'

const unitsMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** In ms. Throws what commander shows beside the option. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text.trim())
  if (match) return Math.round(Number(match[1]) * unitsMs[match[2] as keyof typeof unitsMs]) // one of the five, by the pattern
  if (text.trim() === '0') return 0
  throw new InvalidArgumentError(`Say a number and its unit, like 500ms, 30s, 5m, 2h or 1d; not \`${text}\`.`)
}

/** In seconds, for what counts in whole ones: a part of one is refused, for it would be rounded to what was not said. */
export function parseSeconds(text: string): number {
  const seconds = parseDuration(text) / 1_000
  if (Number.isInteger(seconds)) return seconds
  throw new InvalidArgumentError(`This counts in whole seconds: say ${Math.ceil(seconds)}s, not \`${text}\`.`)
}

export function parseCount(text: string): number {
  if (/^\d{1,9}$/.test(text) && Number(text) > 0) return Number(text)
  throw new InvalidArgumentError(`Say a whole number from 1 on, not \`${text}\`.`)
}

const unitsBytes = { '': 1, MiB: 2 ** 20, GiB: 2 ** 30 } as const

export function parseBytes(text: string): number {
  const match = /^(\d{1,12})(MiB|GiB|)$/.exec(text.trim())
  if (match && Number(match[1]) > 0) return Number(match[1]) * unitsBytes[match[2] as keyof typeof unitsBytes] // one of the three, by the pattern
  throw new InvalidArgumentError(`Say a number of bytes, like 512MiB or 8GiB, not \`${text}\`.`)
}

/** 0: any that is free. */
export function parsePort(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text)
  throw new InvalidArgumentError(`A port is a number from 0 to 65535, not \`${text}\`.`)
}

export function parsePriority(text: string): number {
  if (/^-?\d{1,3}$/.test(text) && Math.abs(Number(text)) <= 100) return Number(text)
  throw new InvalidArgumentError(`Say a whole number from -100 to 100, not \`${text}\`.`)
}

export function parseToken(text: string): number {
  if (/^\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text)
  throw new InvalidArgumentError(`A token is a whole number, not \`${text}\`.`)
}

/** The two largest units: enough for people. */
export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)}ms`
  const seconds = Math.floor(ms / 1_000)
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3_600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ]
  const first = parts.findIndex(([count]) => count > 0)
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join(' ')
}
