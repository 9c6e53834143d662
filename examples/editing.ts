/**
 * Content editing: two people open the same article. Without a lock each saves what they loaded and changed, and the one who saves last
 * wipes out the other's work. With one, the second is told who is editing, waits, and then sees what the first has written.
 *
 *   node scripts/run.mjs examples/editing.ts                   # both changes are in the article
 *   node scripts/run.mjs examples/editing.ts --without-lock    # one is lost
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type Holdfast, LockHeldError } from '@holdfast/client'

const isWithoutLock = process.argv.includes('--without-lock')

/** The content store: loads and saves whole articles. */
let article = 'Title.'

async function edit(sentence: string): Promise<void> {
  const draft = article
  await sleep(30) // typing
  article = `${draft} ${sentence}`
}

async function editor(holdfast: Holdfast, sentence: string): Promise<void> {
  if (isWithoutLock) return edit(sentence)
  try {
    await holdfast.using('articles/17', { waitMs: 0 }, () => edit(sentence))
  } catch (error) {
    if (!(error instanceof LockHeldError)) throw error
    console.log(`${error.holder} has been editing this since ${error.since}; you are next.`)
    await holdfast.using('articles/17', { waitMs: 60_000 }, () => edit(sentence))
  }
}

await using ann = connect({ name: 'Ann' })
await using ben = connect({ name: 'Ben' })
await Promise.all([editor(ann, 'By Ann.'), editor(ben, 'By Ben.')])
const isRight = article.includes('By Ann.') && article.includes('By Ben.')
console.log(JSON.stringify({ article, isRight }))
process.exitCode = isRight ? 0 : 1
