/** The process: signals and exit codes. Everything else is in `server.ts`. */
import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { systemClock } from './clock.ts'
import { ConfigError, readConfig, usage } from './config/config.ts'
import { systemRandom } from './random.ts'
import { createServer } from './server.ts'
import { LogOutput } from './telemetry/output.ts'

/** Wrong usage, as `sysexits.h` has it; 1: the server failed. */
const EXIT_USAGE = 64
/** Ctrl-C and supervisors signal the whole group, and parents pass it on: what comes so soon is the same signal again. */
const SAME_SIGNAL_MS = 1_000

/** Runs until a signal or a fatal error ends it. */
export async function main(args: readonly string[]): Promise<void> {
  if (args.includes('--help')) return console.log(usage())
  try {
    const config = readConfig({ args, env: process.env })
    const log = new LogOutput(process.stdout, systemClock)
    const fatal = () => process.exit(1)
    const server = await createServer(config, { clock: systemClock, random: systemRandom, log, fatal })
    const { url, rootKeyPath } = server
    let stoppingMs = Number.POSITIVE_INFINITY
    const stop = () => {
      const nowMs = systemClock.hrtimeMs()
      if (nowMs - stoppingMs > SAME_SIGNAL_MS) process.exit(1)
      if (stoppingMs !== Number.POSITIVE_INFINITY) return
      stoppingMs = nowMs
      server
        .close()
        .then(() => log.flushed())
        .then(() => process.exit(0), fail)
    }
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, stop)
    process.send?.({ type: 'ready', url, rootKeyPath, dataDirectory: config.dataDirectory })
  } catch (error) {
    if (!(error instanceof ConfigError)) return fail(error)
    console.error(error.message)
    process.exit(EXIT_USAGE)
  }
}

function fail(error: unknown): never {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
}

// `import.meta.main` is not in Node 22.
const program = process.argv[1]
if (program && realpathSync(program) === fileURLToPath(import.meta.url)) await main(process.argv.slice(2))
