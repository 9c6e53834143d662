/** Which of the known words was meant: for messages that correct a mistake instead of naming it only. */

/** The one with the fewest letters changed, whatever their case; one that begins with what was said comes first. `known` has at least one. */
export function nearest(given: string, known: readonly string[]): string {
  const word = given.toLowerCase()
  const farness = (one: string) => (one.toLowerCase().startsWith(word) ? 0 : distance(word, one.toLowerCase()))
  return [...known].sort((one, other) => farness(one) - farness(other))[0]!
}

/** Levenshtein's: how many letters must be changed, added or taken away. */
export function distance(one: string, other: string): number {
  let above = Array.from({ length: other.length + 1 }, (_, column) => column)
  for (let row = 1; row <= one.length; row++) {
    const current = [row]
    for (let column = 1; column <= other.length; column++) {
      const replaced = above[column - 1]! + (one[row - 1] === other[column - 1] ? 0 : 1)
      current.push(Math.min(replaced, above[column]! + 1, current[column - 1]! + 1))
    }
    above = current
  }
  return above[other.length]!
}
