/**
 * What a lock protects, in a process of its own: for each lock it keeps the largest token under which it was written, refuses smaller ones
 * (SAFETY S3), and writes down every attempt. Lines over TCP: `<lock> <token> <how>`, answered with `1` or `0`;
 * `how` is for the record.
 */
import { openSync, writeSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'

const [file = 'resource.jsonl'] = process.argv.slice(2)
const record = openSync(file, 'a')
const largest = new Map<string, number>()

function write(lock: string, token: number, how: string): boolean {
  const isAccepted = token >= (largest.get(lock) ?? 0)
  if (isAccepted) largest.set(lock, token)
  const t = Number(process.hrtime.bigint()) / 1e6
  writeSync(record, `${JSON.stringify({ e: 'write', t, lock, token, how, ok: isAccepted })}\n`)
  return isAccepted
}

function serve(socket: Socket): void {
  let rest = ''
  socket.setNoDelay(true)
  socket.on('data', (data: Buffer) => {
    const lines = (rest + data.toString()).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const [lock = '', token = '', how = ''] = line.split(' ')
      socket.write(write(lock, Number(token), how) ? '1\n' : '0\n')
    }
  })
  // A client that was killed.
  socket.on('error', () => socket.destroy())
}

const server = createServer(serve)
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address && typeof address === 'object') console.log(String(address.port))
})
// Whoever started it is gone.
process.stdin.on('end', () => process.exit(0)).resume()
