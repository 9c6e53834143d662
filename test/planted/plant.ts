/**
 * Plants one bug in the process that loads this before everything else (`--import`, by NODE_OPTIONS, so that the servers which a test starts
 * have it too). The source is changed on its way from the disk into the process; on the disk nothing changes, and nothing that is
 * shipped knows of this.
 */
import { appendFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { bugs } from './bugs.ts'
import { planted } from './text.ts'

const { PLANTED_BUG: id, PLANTED_MARKER: marker } = process.env

if (id !== undefined && marker !== undefined) {
  const bug = bugs.find(one => one.id === id)
  if (!bug) throw new Error(`there is no bug ${id} to plant`)
  const url = new URL(`../../${bug.file}`, import.meta.url).href
  registerHooks({
    load(target, context, next) {
      const loaded = next(target, context)
      if (target !== url) return loaded
      const source = planted(String(loaded.source), bug)
      // Whoever judges the test must know that the bug was there to be found.
      appendFileSync(marker, `${process.pid}\n`)
      return { ...loaded, source }
    },
  })
}
