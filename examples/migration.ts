/**
 * Schema migration: a deployment starts three instances at once, and each wants to bring the schema up to date first. The migration itself
 * knows nothing of locks: it is run by `holdfast run`, so that the second and third begin when the first is done, and find nothing to do.
 *
 *   node scripts/run.mjs examples/migration.ts                   # applied once
 *   node scripts/run.mjs examples/migration.ts --without-lock    # applied three times
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const INSTANCES = 3

const isWithoutLock = process.argv.includes('--without-lock')
const folder = process.env.DATABASE_FOLDER
if (folder === undefined) await deploy()
else await migrate(folder)

/** What any migration tool does: look at the version, apply what is missing, write the version. */
async function migrate(database: string): Promise<void> {
  if (existsSync(join(database, 'version'))) return
  // A real one would pass this on to the database, to be refused when it is stale.
  appendFileSync(join(database, 'applied'), `alter table … (token ${process.env.HOLDFAST_TOKEN ?? 'none'})\n`)
  await sleep(1_000)
  writeFileSync(join(database, 'version'), '1')
}

async function deploy(): Promise<void> {
  const database = mkdtempSync(join(tmpdir(), 'holdfast-migration-'))
  const holdfast = fileURLToPath(new URL('../packages/cli/bin/holdfast.mjs', import.meta.url)) // installed: just `holdfast`
  const migration = [process.execPath, ...process.execArgv, import.meta.filename]
  const command = isWithoutLock
    ? migration
    : [process.execPath, holdfast, 'run', '--wait', '60s', 'schema/shop', '--', ...migration]
  const codes = await Promise.all(
    Array.from({ length: INSTANCES }, async () => {
      const [file = '', ...args] = command
      const child = spawn(file, args, { stdio: 'inherit', env: { ...process.env, DATABASE_FOLDER: database } })
      return Number((await once(child, 'exit'))[0])
    }),
  )
  const applied = readFileSync(join(database, 'applied'), 'utf8').trim().split('\n')
  const isRight = applied.length === 1 && codes.every(code => code === 0)
  console.log(JSON.stringify({ applied, codes, isRight }))
  process.exitCode = isRight ? 0 : 1
}
