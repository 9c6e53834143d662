/** Whether a secret has come out anywhere. */
import { strict as assert } from 'node:assert'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Where something may have come out, by name. */
export type Places = Record<string, string | Buffer>

/** No secret is in any of the places, as it is or in base64; nor what of a token or handle only its bearer can know: its last part. */
export function assertNowhere(secrets: Iterable<string>, places: Places): void {
  for (const secret of secrets) {
    const own = secret.split('.').at(-1) ?? ''
    // Of `x.` there is nothing to be found.
    const forms = [secret, own, Buffer.from(secret).toString('base64')].filter(form => form.length >= 8)
    for (const [place, content] of Object.entries(places))
      for (const form of forms) assert.ok(!content.includes(form), `${form} is in ${place}`)
  }
}

/** Each file under the folder. */
export function filesOf(folder: string): Places {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
  return Object.fromEntries(
    files.map(({ parentPath, name }) => [join(parentPath, name), readFileSync(join(parentPath, name))]),
  )
}

/** The arguments of every process of this machine that lets itself be looked at: what `ps` shows to everybody. */
export function argumentsOfAll(): Places {
  const found: Places = {}
  for (const pid of readdirSync('/proc').filter(name => /^\d+$/.test(name))) {
    try {
      found[`the arguments of ${pid}`] = readFileSync(`/proc/${pid}/cmdline`)
    } catch {
      // It has ended, or is somebody else's.
    }
  }
  return found
}
