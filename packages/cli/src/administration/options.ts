/** What the verbs of administration are told: several of something, and who is meant. */

export const several = (value: string, before: string[] = []): string[] => [...before, value]

/** The id of a key, as lists show it, is that of somebody who calls with it. */
export function subjectOf(text: string): string {
  return /^k-[0-9a-z]+$/.test(text) ? `key:${text}` : text
}

/** People write roles as IBM's pages do, `Writer`; ids are in lower case. The CRN of a role goes as it is. */
export function roleNamed(text: string): string {
  return text.startsWith('crn:') ? text : text.toLowerCase()
}
