/** Questions to whoever sits at the prompt, before what cannot be had back. */
import { createInterface } from 'node:readline'
import { CommandFailure, exitCodes } from './exit.ts'

/** Asks on standard error and reads one line. Anything but a yes, an end of the input too, ends the command. */
export async function confirm(question: string): Promise<void> {
  process.stderr.write(`${question} [y/N] `)
  const answer = await firstLine()
  if (answer !== null && /^y(es)?$/i.test(answer.trim())) return
  if (answer === null) process.stderr.write('\n')
  const why = answer === null ? 'nobody answered; -f does it without a question' : 'the answer was not yes'
  throw new CommandFailure(exitCodes.usage, `Nothing was done: ${why}.`)
}

/** null: the input has ended. */
function firstLine(): Promise<string | null> {
  const lines = createInterface({ input: process.stdin })
  return new Promise(resolve => {
    lines.once('line', line => {
      resolve(line)
      lines.close()
    })
    lines.once('close', () => resolve(null))
  })
}
