/** A process of `served.test.ts`: serves a store in memory until its input ends, and then has nothing left to do. */
import { openMemory } from '../memory/memory.ts'
import { serveEngine } from './serve.ts'

const { path } = await serveEngine(openMemory())
process.stdout.write(`${path}\n`)
process.stdin.resume()
