/**
 * A process that tries one mutant after another. Starting Node and loading the sources costs more than most tests do, so each mutant gets a copy of its
 * own of every module of this repository: the name of each is given the mutant's number, and the one that is mutated is changed on its way from
 * the disk. What comes from packages is shared. A mutant that never ends takes the process with it, which the parent sees to.
 */
import { registerHooks } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import fastCheck from 'fast-check'
import { collected } from './collected.ts'
import type { Mutant } from './mutants.ts'

export type Order = { number: number; mutant: Mutant | null; tests: readonly string[] }
/** `seen`: the module that is mutated has been loaded. */
export type Result = { number: number; isNoticed: boolean; isSeen: boolean; by: string }

const root = new URL('../../', import.meta.url)
const stand = new URL('./collected.ts', import.meta.url).href
const query = '?mutant='
let order: Order | null = null
let isSeen = false
let stray: unknown = null

registerHooks({
  resolve(specifier, context, next) {
    const isCopy = context.parentURL?.includes(query) === true
    if (isCopy && specifier === 'node:test') return { url: stand, shortCircuit: true }
    const resolved = next(specifier, context)
    const isOurs = resolved.url.startsWith(root.href) && !resolved.url.includes('/node_modules/')
    // The words on the wire are the same for all, and no mutant is among them.
    const isShared = resolved.url.includes('/packages/protocol/')
    if (!isCopy || !isOurs || isShared) return resolved
    return { ...resolved, url: `${resolved.url}${query}${order?.number}` }
  },
  load(url, context, next) {
    const loaded = next(url, context)
    const mutant = order?.mutant
    if (!mutant || url !== `${new URL(mutant.file, root).href}${query}${order?.number}`) return loaded
    isSeen = true
    const source = String(loaded.source)
    return { ...loaded, source: `${source.slice(0, mutant.start)}${mutant.to}${source.slice(mutant.end)}` }
  },
})
// To know that it fails is enough; the smallest case that does would take a hundred times as long.
fastCheck.configureGlobal({ endOnFailure: true })

process.on('unhandledRejection', error => {
  stray ??= error
})
process.on('uncaughtException', error => {
  stray ??= error
})
process.on('message', (message: Order) => void attempt(message).then(result => process.send?.(result)))
process.on('disconnect', () => process.exit(0))
process.send?.('ready')

async function attempt(given: Order): Promise<Result> {
  order = given
  isSeen = false
  stray = null
  collected()
  try {
    for (const file of given.tests) {
      await import(`${pathToFileURL(join(fileURLToPath(root), file)).href}${query}${given.number}`)
      for (const test of collected()) {
        await test()
        if (stray) throw stray
      }
    }
    return { number: given.number, isNoticed: false, isSeen, by: '' }
  } catch (error) {
    return { number: given.number, isNoticed: true, isSeen, by: error instanceof Error ? error.message : String(error) }
  }
}
