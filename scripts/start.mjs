/** `npm start`: installs what is missing, runs the server, and says how to use it. Flags go on to the server (`npm start -- --listen …`). */
import { spawn } from 'node:child_process'
import { isAbsolute, relative, resolve } from 'node:path'
import { install } from './install.mjs'
import { findNode, nodeFlags, root } from './node.mjs'

const ORPHAN_CHECK_MS = 200

install()
const node = nodeOrWhyNot()
const server = spawn(node, [...nodeFlags, `${root}packages/server/src/main.ts`, ...process.argv.slice(2)], {
  stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
})
server.on('message', message => {
  if (message.type === 'ready') console.log(welcome(message))
})
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    // From a terminal the server has got its own.
    if (signal !== 'SIGINT' || !process.stdin.isTTY) server.kill(signal)
  })
}
// npm passes SIGTERM on to a shell between it and this, which dies of it without a word.
const parent = process.ppid
setInterval(() => {
  if (process.ppid !== parent && !server.killed) server.kill('SIGTERM')
}, ORPHAN_CHECK_MS).unref()
server.on('exit', (code, signal) => process.exit(signal ? 1 : (code ?? 1)))

/** A person reads this, not a programmer. */
function nodeOrWhyNot() {
  try {
    return findNode()
  } catch (error) {
    console.error(error.message)
    process.exit(1)
  }
}

function shown(path) {
  const near = relative(process.cwd(), resolve(path))
  return near.startsWith('..') || isAbsolute(near) ? resolve(path) : near
}

function welcome({ url, rootKeyPath, dataDirectory }) {
  const key = rootKeyPath ? `$(cat ${shown(rootKeyPath)})` : '$HOLDFAST_ROOT_KEY'
  const access = `HOLDFAST_URL=${url} HOLDFAST_API_KEY="${key}"`
  return `
Holdfast listens on ${url}
  data      ${shown(dataDirectory)}
  root key  ${rootKeyPath ? shown(rootKeyPath) : 'as preset in HOLDFAST_ROOT_KEY'}
  reference ${url}/docs

Hold a lock: paste these in another terminal, in this folder.

1. with curl

curl -X POST ${url}/v1/locks/orders/acquire -H "Authorization: Bearer ${key}" -H 'Content-Type: application/json' -d '{"ttl_seconds":30}'

2. around a command

${access} npx holdfast run deploy/web --wait 30s -- sleep 5

3. in a program

cat > demo.ts <<'END'
import { connect } from '@holdfast/client'
const holdfast = connect()
await holdfast.using('inventory', { waitMs: 30_000 }, async lock => {
  console.log('mine, with token', lock.token)
})
await holdfast.close()
END
${access} node scripts/run.mjs demo.ts

With the same name in all three, each would wait for the others.
`
}
