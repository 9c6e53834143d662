/**
 * From a name to the rules whose patterns may match it, among thousands, without making anything.
 *
 * Patterns without a wildcard are found in a map. The others by their heads (all before the first wildcard), which are kept sorted, each with the
 * longest other head that it begins with. All heads that a name begins with are then on one chain: that of the greatest head which is not
 * above the name. (Let `p` be a head that the name begins with, and `h` that greatest one: `p ≤ h ≤ name`, and whatever lies between `p` and a text
 * that begins with `p` begins with `p` too.) So a look-up is one hash, one binary search, and as many steps as heads really fit.
 */
import { compilePattern, matches, type Pattern } from '@holdfast/protocol/patterns'

type Ruled<Rule> = { pattern: Pattern; rule: Rule }
type Head<Rule> = { head: string; rules: Ruled<Rule>[]; shorter: Head<Rule> | null }

export class Lookup<Rule> {
  readonly #exact = new Map<string, Rule[]>()
  readonly #heads: Head<Rule>[]

  constructor(rules: Iterable<{ rule: Rule; patterns: readonly string[] }>) {
    const heads = new Map<string, Head<Rule>>()
    for (const { rule, patterns } of rules) {
      for (const pattern of new Set(patterns)) this.#add(compilePattern(pattern), rule, heads)
    }
    this.#heads = [...heads.values()].sort((one, other) => (one.head < other.head ? -1 : 1))
    chain(this.#heads)
  }

  #add(pattern: Pattern, rule: Rule, heads: Map<string, Head<Rule>>): void {
    if (pattern.kind === 'exact') {
      const rules = this.#exact.get(pattern.text)
      if (rules) rules.push(rule)
      else this.#exact.set(pattern.text, [rule])
      return
    }
    let head = heads.get(pattern.head)
    if (!head) {
      head = { head: pattern.head, rules: [], shorter: null }
      heads.set(pattern.head, head)
    }
    head.rules.push({ pattern, rule })
  }

  /** The first rule that matches the name and passes; the caller's `passes` may look at anything. */
  find<Context>(name: string, passes: (rule: Rule, context: Context) => boolean, context: Context): Rule | null {
    const exact = this.#exact.get(name)
    if (exact) for (const rule of exact) if (passes(rule, context)) return rule
    for (let head = this.#below(name); head; head = head.shorter) {
      if (!name.startsWith(head.head)) continue
      for (const { pattern, rule } of head.rules) if (matches(pattern, name) && passes(rule, context)) return rule
    }
    return null
  }

  /** The greatest head that is not above the name. */
  #below(name: string): Head<Rule> | null {
    let [low, high] = [0, this.#heads.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#heads[middle]!.head <= name) low = middle + 1
      else high = middle
    }
    return this.#heads[low - 1] ?? null
  }
}

/** Sorted, the heads that a head begins with lie before it, the longest of them on the chain of its neighbour. */
function chain<Rule>(heads: readonly Head<Rule>[]): void {
  for (const [index, head] of heads.entries()) {
    let shorter = heads[index - 1] ?? null
    while (shorter && !head.head.startsWith(shorter.head)) shorter = shorter.shorter
    head.shorter = shorter
  }
}
