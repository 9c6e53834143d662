/** The head of a batch, read from its text without parsing the rest: it says when it was, and what it follows. */

export type BatchHead = { seq: number; epoch: number; prev: string; now: number; at: number }

/** As `encodeBatch` writes it. The id holds no quotation mark. */
const HEAD =
  /^\{"id":"[^"]{1,200}","seq":(\d{1,16}),"epoch":(\d{1,16}),"prev":"([0-9a-f]{0,64})","now":([0-9.e+-]{1,30}),"at":(\d{1,16}),/

/** null: this is not what this program writes. */
export function headerOf(text: string): BatchHead | null {
  const match = HEAD.exec(text.slice(0, 512))
  if (!match) return null
  const [, seq, epoch, prev = '', now, at] = match
  return { seq: Number(seq), epoch: Number(epoch), prev, now: Number(now), at: Number(at) }
}
