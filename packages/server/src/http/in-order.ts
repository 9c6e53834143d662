/**
 * Things are taken in the order in which they came, though of each something has to be known that may have to be asked for elsewhere. Many are asked about
 * at once, so that the questions go out together: one after another, whatever stands behind a hundred of them would come too late. But not all that may
 * wait, for the one who is asked has others to answer.
 */

/** As many as go out together. */
export const ASKED_MAX = 100

type Ports<Item, Known> = {
  /** Does not reject. */
  ask(item: Item): Known | Promise<Known>
  take(item: Item, known: Known): void
}

export class InOrder<Item, Known> {
  readonly #ports: Ports<Item, Known>
  readonly #asked: { item: Item; known: Known | Promise<Known> }[] = []
  readonly #unasked: Item[] = []
  #isTaking = false

  constructor(ports: Ports<Item, Known>) {
    this.#ports = ports
  }

  /** How many wait behind the one whose turn it is. */
  get waiting(): number {
    return this.#asked.length + this.#unasked.length
  }

  /** Taken at once, as nearly always; or when all before it have been. */
  add(item: Item): void {
    if (this.#isTaking) {
      this.#unasked.push(item)
      return this.#askMore()
    }
    const known = this.#ports.ask(item)
    if (known instanceof Promise) void this.#takeAll(item, known)
    else this.#ports.take(item, known)
  }

  #askMore(): void {
    if (this.#asked.length > ASKED_MAX / 2) return
    for (const item of this.#unasked.splice(0, ASKED_MAX - this.#asked.length))
      this.#asked.push({ item, known: this.#ports.ask(item) })
  }

  async #takeAll(first: Item, known: Promise<Known>): Promise<void> {
    this.#isTaking = true
    this.#ports.take(first, await known)
    for (let next = this.#asked.shift(); next; next = this.#asked.shift()) {
      this.#ports.take(next.item, await next.known)
      this.#askMore()
    }
    this.#isTaking = false
  }
}
