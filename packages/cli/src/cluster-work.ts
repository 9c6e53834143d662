/** What the commands on a cluster have in common: where it is, how they tell and are stopped, and how they end. The server's code is loaded here. */
import { isIP } from 'node:net'
import { resolve } from 'node:path'
import type * as ClusterRoom from '@holdfast/server/cluster'
import { type Command, InvalidArgumentError } from 'commander'
import { CommandFailure } from './exit.ts'
import { printJson, printLine } from './output.ts'
import { type Progress, progressOn } from './progress.ts'

export type Room = typeof ClusterRoom
export type ClusterOptions = { data: string }
export type Tools = {
  room: Room
  directory: ClusterRoom.ClusterDirectory
  doors: ClusterRoom.Doors
  clock: Room['systemClock']
  random: Room['systemRandom']
  signal: AbortSignal
  progress: Progress
}

const DATA_DEFAULT = './cluster'
const FAILED = 1
/** As a shell says of what Ctrl-C has ended. */
const STOPPED = 130

export function withData(command: Command): Command {
  return command.option('--data <directory>', "the cluster's directory on this machine", DATA_DEFAULT)
}

/**
 * By which members are reached; it goes into their certificates, so it is looked at before anything is written. In the one spelling that URLs have of it: a name
 * in capitals and an address in its long form are the same host, and are compared as texts later.
 */
export function parseHost(text: string): string {
  const isHost = isIP(text) !== 0 || /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(text)
  const url = `https://${isIP(text) === 6 ? `[${text}]` : text}`
  if (isHost && URL.canParse(url)) return new URL(url).hostname.replace(/^\[|\]$/g, '')
  throw new InvalidArgumentError(`Say an address or a name of a machine, like 10.0.0.1, not \`${text}\`.`)
}

/** Ends with 1 and a sentence when it could not be done, with 130 when it was stopped. */
export async function clusterWork<Result>(
  options: ClusterOptions,
  act: (tools: Tools) => Promise<Result>,
): Promise<Result> {
  // Of gRPC, about names of members that are addresses (DEP0123): nothing that whoever runs this could change.
  process.noDeprecation = true
  const room = await import('@holdfast/server/cluster')
  const { systemClock: clock, systemRandom: random } = room
  const directory = new room.ClusterDirectory(resolve(options.data), { encryption: encryptionNamed() })
  const doors = new room.Doors(directory, clock)
  const controller = new AbortController()
  const progress = progressOn(process.stderr)
  const stop = () => controller.abort(new room.ClusterStopped('Stopped as asked.'))
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, stop)
  try {
    return await act({ room, directory, doors, clock, random, signal: controller.signal, progress })
  } catch (error) {
    progress.done()
    if (error instanceof room.ClusterStopped) throw new CommandFailure(STOPPED, error.message)
    // What etcd or the system complains of is for people too: a cluster that is ill is no bug.
    if (error instanceof room.ClusterFailure || isOfOutside(error)) throw new CommandFailure(FAILED, messageOf(error))
    throw error
  } finally {
    progress.done()
    doors.close()
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.removeListener(name, stop)
  }
}

/** What an operation has done: in a sentence for people, and in facts for programs. */
export type Done = { text: string; json: object }
export type OperationOptions = ClusterOptions & { json?: boolean }

export function withOperation(command: Command): Command {
  return withData(command).option('--json', 'print what has been done as JSON')
}

/** The same, with nobody else at work on the cluster; and what has been done is printed. */
export function clusterOperation(
  options: OperationOptions,
  what: string,
  act: (tools: Tools) => Promise<Done>,
): Promise<void> {
  return clusterWork(options, async tools => {
    tools.directory.plan()
    const done = await tools.room.exclusively(tools.directory, `holdfast cluster ${what}`, () => act(tools))
    printDone(tools, options, done)
  })
}

export function printDone({ progress }: Pick<Tools, 'progress'>, { json: asJson }: OperationOptions, done: Done): void {
  progress.done()
  if (asJson) printJson(done.json)
  else printLine(done.text)
}

/** As the servers are told. A path, a command: nothing that must not be seen. */
function encryptionNamed(): ClusterRoom.KeySourceConfig | null {
  const {
    HOLDFAST_ENCRYPTION_KEY_FILE: path,
    HOLDFAST_ENCRYPTION_KEY_COMMAND: command,
    HOLDFAST_ENCRYPTION_KMS_COMMAND: kms,
  } = process.env
  if (path) return { type: 'file', path: resolve(path) }
  if (command) return { type: 'command', command }
  return kms ? { type: 'kms', command: kms } : null
}

function isOfOutside(error: unknown): boolean {
  return error instanceof Error && (error.name.startsWith('Etcd') || error.name.startsWith('Engine') || 'code' in error)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
