/**
 * Patterns of lock names, as IBM's `stringMatch`: `*` is any run of characters, an empty one too and `/` included; `?` is one character (a code
 * point, not half of one); all else is literal. Names are compared as they are: nothing is decoded, normalised or folded, so `a%2Fb` is not `a/b`,
 * and what looks alike is something else.
 *
 * Three questions are put to a pattern: whether it matches a name, whether any name that begins with a prefix might match, and whether all names
 * that begin with a prefix do (who freezes `a` freezes `ab` too).
 */

import { LOCK_NAME_BYTES_MAX } from './limits.ts'

/** `*` in one pattern: each can be tried at every place of a name. */
export const PATTERN_STARS_MAX = 8

export type Pattern = {
  text: string
  /** All before the first `*` or `?`. */
  head: string
  kind: 'exact' | 'head' | 'any'
}

/** null: fit. Otherwise a sentence. */
export function patternMisfit(text: string): string | null {
  if (text === '') return 'A pattern must not be empty; `*` matches every name.'
  if (text.length > LOCK_NAME_BYTES_MAX) return `A pattern has at most ${LOCK_NAME_BYTES_MAX} characters.`
  if (!text.isWellFormed()) return 'A pattern must be well-formed text.'
  if (text.split('*').length - 1 > PATTERN_STARS_MAX) return `A pattern has at most ${PATTERN_STARS_MAX} \`*\`.`
  return null
}

export function compilePattern(text: string): Pattern {
  const wild = text.search(/[*?]/)
  if (wild < 0) return { text, head: text, kind: 'exact' }
  // `orders/*`, as most are: to begin with the head is enough.
  return { text, head: text.slice(0, wild), kind: wild === text.length - 1 && text[wild] === '*' ? 'head' : 'any' }
}

export function matches({ text, head, kind }: Pattern, name: string): boolean {
  if (kind === 'exact') return name === text
  return name.startsWith(head) && (kind === 'head' || matchesFrom(text, name, head.length))
}

const STAR = 0x2a
const QUESTION = 0x3f

/** From where the head ends. Only the last `*` is ever tried again: whatever an earlier one could gain, that one gains too. */
function matchesFrom(text: string, name: string, start: number): boolean {
  let [at, inName] = [start, start]
  let [starAt, starInName] = [-1, -1]
  while (inName < name.length) {
    const wanted = text.charCodeAt(at)
    if (wanted === STAR) {
      starAt = at++
      starInName = inName
    } else if (wanted === QUESTION) {
      at++
      inName += widthAt(name, inName)
    } else if (wanted === name.charCodeAt(inName)) {
      at++
      inName++
    } else if (starAt >= 0) {
      at = starAt + 1
      starInName += widthAt(name, starInName)
      inName = starInName
    } else return false
  }
  while (text.charCodeAt(at) === STAR) at++
  return at >= text.length
}

/** In UTF-16 units, of the character there. */
function widthAt(name: string, index: number): number {
  const unit = name.charCodeAt(index)
  const next = name.charCodeAt(index + 1)
  return unit >= 0xd800 && unit < 0xdc00 && next >= 0xdc00 && next < 0xe000 ? 2 : 1
}

/** Whether some text that begins with `prefix` matches. */
export function mayMatchUnder({ text, head, kind }: Pattern, prefix: string): boolean {
  if (kind === 'exact') return text.startsWith(prefix)
  if (prefix.length <= head.length) return head.startsWith(prefix)
  if (!prefix.startsWith(head)) return false
  return kind === 'head' || placesAfter(text.slice(head.length), prefix.slice(head.length)).size > 0
}

/** Whether every text that begins with `prefix` matches. */
export function coversUnder(pattern: Pattern, prefix: string): boolean {
  const { text, head, kind } = pattern
  if (kind === 'exact' || !prefix.startsWith(head)) return false
  if (kind === 'head') return true
  // After the prefix nothing is known, so only a `*` can take it; behind that `*`, `?` take from what it has.
  const star = text.lastIndexOf('*')
  return star >= 0 && /^\?*$/.test(text.slice(star + 1)) && matches(pattern, prefix)
}

/** Where in the pattern one may stand when the name has been read: as many places as there can be, so none is missed. */
function placesAfter(text: string, name: string): Set<number> {
  const signs = [...text]
  const skipStars = (places: Iterable<number>) => {
    const all = new Set(places)
    for (const place of all) if (signs[place] === '*') all.add(place + 1)
    return all
  }
  let places = skipStars([0])
  for (const character of name) {
    const next = new Set<number>()
    for (const place of places) {
      const sign = signs[place]
      if (sign === '*') next.add(place)
      else if (sign === '?' || sign === character) next.add(place + 1)
    }
    places = skipStars(next)
    if (places.size === 0) break
  }
  return places
}
