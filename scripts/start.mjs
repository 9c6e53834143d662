/** `npm start`: installs what is missing, runs the server, and says how to use it. Flags go on to the server (`npm start -- --listen …`). */
import { spawn } from 'node:child_process'
import { isAbsolute, relative, resolve } from 'node:path'
import { install } from './install.mjs'
import { findNode, nodeFlags, root } from './node.mjs'

install()
const server = spawn(findNode(), [...nodeFlags, `${root}packages/server/src/main.ts`, ...process.argv.slice(2)], {
  stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
})
server.on('message', message => {
  if (message.type === 'ready') console.log(welcome(message))
})
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => server.kill(signal))
server.on('exit', (code, signal) => process.exit(signal ? 1 : (code ?? 1)))

function shown(path) {
  const near = relative(process.cwd(), resolve(path))
  return near.startsWith('..') || isAbsolute(near) ? resolve(path) : near
}

function welcome({ url, rootKeyPath, dataDirectory }) {
  const key = rootKeyPath ? `$(cat ${shown(rootKeyPath)})` : '$HOLDFAST_ROOT_KEY'
  return `
Holdfast listens on ${url}
  data      ${shown(dataDirectory)}
  root key  ${rootKeyPath ? shown(rootKeyPath) : 'as preset in HOLDFAST_ROOT_KEY'}
  reference ${url}/docs

Hold a lock, in another terminal:

  1. with curl
     curl -X POST ${url}/v1/locks/orders/acquire -H "Authorization: Bearer ${key}" -H 'Content-Type: application/json' -d '{"ttl_seconds":30}'

  2. around a command
     HOLDFAST_URL=${url} HOLDFAST_API_KEY="${key}" npx holdfast run orders -- sleep 5

  3. in a program (HOLDFAST_URL and HOLDFAST_API_KEY as above)
     import { connect } from '@holdfast/client'
     const holdfast = connect()
     await holdfast.using('orders', { waitMs: 30_000 }, async lock => {
       console.log('mine, with token', lock.token)
     })
     await holdfast.close()
`
}
