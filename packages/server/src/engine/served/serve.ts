/**
 * The store of this process for others of the same user on the same machine.
 *
 * A store has one process that holds it (`process-lock/holder.ts`), and there is work beside the server that goes to the store itself: `holdfast keys`. So who
 * holds it serves it, over a socket that nobody but its user can reach: what keeps others away is the folder, which is private. A guest can do
 * what it could do with the files, no less and no more; on a sealed store it meets what lies in the files, sealed.
 *
 * Nothing is promised to guests beyond what an engine promises, and nothing is owed to them: a message that cannot be read, or more than is allowed,
 * ends their connection. What the guest had asked for by then may still be done.
 */
import { mkdtemp, rm, rmdir } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { type Engine, EngineRefusal } from '../engine.ts'
import {
  type Answered,
  type Asked,
  encode,
  type GuestRequest,
  type HolderAnswer,
  messagesIn,
  type Pairs,
  parseRequest,
  partsOf,
  tellError,
  VERSION,
} from './messages.ts'

/** Guests at a time: commands of operators, each alone at its terminal or in a job. */
export const CONNECTIONS_MAX = 8
/** Of one guest at a time. Further ones lie unread in its socket until one has been answered. */
export const REQUESTS_MAX = 16

const FOLDER = 'holdfast-guests.'
const SOCKET = 'socket'

export type Served = {
  /** For `openGuest`. */
  path: string
  /** Cuts the guests off, and resolves when nothing that they asked for touches the engine any more, and the folder is gone. */
  close(): Promise<void>
}

/**
 * Does not keep the process alive, and costs nothing while nobody is connected. The engine is to be closed after it. Throws where no socket
 * can be made, as with a read-only or too long temporary folder: the store is then of use to this process only.
 */
export async function serveEngine(engine: Engine): Promise<Served> {
  // Made with mode 0700.
  const folder = await mkdtemp(join(tmpdir(), FOLDER))
  const path = process.platform === 'win32' ? `\\\\.\\pipe\\${basename(folder)}` : join(folder, SOCKET)
  const attended = new Map<Socket, Promise<void>>()
  const server = createServer(socket => {
    attended.set(
      socket,
      attend(socket, engine).finally(() => attended.delete(socket)),
    )
  })
  server.maxConnections = CONNECTIONS_MAX
  const remove = () => rm(folder, { recursive: true, force: true })
  try {
    await listening(server, path)
  } catch (error) {
    await remove()
    throw error
  }
  server.unref()
  return {
    path,
    async close() {
      server.close()
      for (const socket of attended.keys()) socket.destroy()
      await Promise.all(attended.values())
      await remove()
    },
  }
}

/** Removes what a process has left that was killed while it served at `path`. Leaves alone whatever is no such socket. */
export async function removeServed(path: string): Promise<void> {
  const folder = dirname(path)
  if (basename(path) !== SOCKET || !basename(folder).startsWith(FOLDER)) return
  await rm(path, { force: true })
  await rmdir(folder).catch((error: NodeJS.ErrnoException) => {
    // Whoever cleans temporary folders has been there.
    if (error.code !== 'ENOENT') throw error
  })
}

async function listening(server: Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  // Stays: that a guest could not be accepted is no reason to end.
  server.on('error', reject).listen(path, resolve)
  await promise
}

/** Resolves when the connection has ended and all that came over it has been answered. Never rejects. */
async function attend(socket: Socket, engine: Engine): Promise<void> {
  socket.unref()
  // Heard by the loop below, and in a moment in which nobody reads it must not end the process.
  socket.on('error', () => undefined)
  const inFlight = new Set<Promise<void>>()
  try {
    for await (const message of messagesIn(socket)) {
      const request = parseRequest(message)
      while (inFlight.size >= REQUESTS_MAX) await Promise.race(inFlight)
      if (socket.destroyed) break
      const answering = answer(engine, socket, request).finally(() => inFlight.delete(answering))
      inFlight.add(answering)
    }
  } catch {
    // Broken or not to be understood: either way the guest hears of it by the end of the connection, and it is no trouble of ours.
  }
  socket.destroy()
  await Promise.all(inFlight)
}

/** Never rejects. */
async function answer(engine: Engine, socket: Socket, { number, ...asked }: GuestRequest): Promise<void> {
  try {
    const { pairs = [], result } = await perform(engine, asked)
    for (const part of partsOf(pairs)) await send(socket, { number, pairs: part })
    await send(socket, { number, result })
  } catch (error) {
    await send(socket, { number, error: tellError(error) })
  }
}

type Performed = { pairs?: Pairs; result: Answered[keyof Answered] }

async function perform(engine: Engine, asked: Asked): Promise<Performed> {
  switch (asked.operation) {
    case 'hello':
      if (asked.version === VERSION) return { result: null }
      throw new EngineRefusal('bad_request', `the process that holds the store is of another version of Holdfast`)
    case 'read':
      return { result: await engine.read(asked.key, { atLeast: asked.atLeast }) }
    case 'list': {
      const { pairs, ...result } = await engine.list(asked.options)
      return { pairs, result }
    }
    case 'commit': {
      const { ok, revision, ...failed } = await engine.commit(asked.request)
      return { pairs: 'found' in failed ? failed.found : [], result: { ok, revision } }
    }
    case 'size':
      return { result: await engine.size() }
  }
}

/** Resolves when it has left this process, or never will. Throws when it is too large for a frame. */
async function send(socket: Socket, answer: HolderAnswer): Promise<void> {
  const frame = encode(answer)
  await new Promise<void>(resolve => socket.write(frame, () => resolve()))
}
