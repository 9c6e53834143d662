/** What the verbs of administration are told: several of something, and who is meant. */

export const several = (value: string, before: string[] = []): string[] => [...before, value]

/** The id of a key, as lists show it, is that of somebody who calls with it. */
export function subjectOf(text: string): string {
  return /^k-[0-9a-z]+$/.test(text) ? `key:${text}` : text
}
