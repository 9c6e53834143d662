import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

/** What the kernel is asked for, by every thread, in order. */
const CALLS = 'openat,fdatasync,fsync,msync,write,writev,pwrite64,pwritev'

test('no commit is acknowledged before the disk has been told to keep it', async t => {
  if (spawnSync('strace', ['-V']).error) return t.skip('strace is not installed: nothing else here sees a sync')
  const path = await mkdtemp(join(tmpdir(), 'holdfast-sync.'))
  const traced = join(path, 'trace')
  try {
    const program = fileURLToPath(new URL('./acknowledging.ts', import.meta.url))
    const flags = process.execArgv.filter(flag => flag.startsWith('--conditions'))
    const args = ['-f', '-qq', '-e', `trace=${CALLS}`, '-e', 'signal=none', '-o', traced]
    const child = spawn('strace', [...args, process.execPath, ...flags, program, join(path, 'data')], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let complaint = ''
    child.stderr.on('data', chunk => {
      complaint += chunk
    })
    const [code] = await once(child, 'close')
    // Where processes may not be traced there is nothing to see.
    if (/PTRACE|ptrace/.test(complaint)) return t.skip(`this machine permits no tracing: ${complaint}`)
    assert.equal(code, 0, complaint)
    const acknowledged = acknowledgements(await readFile(traced, 'utf8'))
    assert.equal(acknowledged.length, 20)
    assert.deepEqual(
      acknowledged.filter(one => !one.isSynced),
      [],
    )
  } finally {
    await rm(path, { recursive: true })
  }
})

/**
 * Of each commit, whether it wrote anything to the store, and all of what it wrote was on disk when it was acknowledged: by a write that has returned, to a
 * file that is opened for that (O_DSYNC), or by a sync that began after the write.
 */
function acknowledgements(trace: string): { commit: string; isSynced: boolean }[] {
  const found: { commit: string; isSynced: boolean }[] = []
  /** By descriptor: whether its writes last when they return. */
  const files = new Map<string, boolean>()
  const syncing = new Map<string, number>()
  let [writes, synced, before] = [0, 0, 0]
  for (const line of joined(trace)) {
    const { thread, call, isBegun, isDone } = line
    const opened = /^openat\(.*(?:data\.mdb|journal-\d)", (\S+).* = (\d+)$/.exec(call)
    const said = /^write\(1, "(begin|acknowledged) (\d+)/.exec(call)
    const isLasting = files.get(/^(?:pwrite64|pwritev|writev|write)\((\d+)/.exec(call)?.[1] ?? '')
    const isSync = /^(fdatasync|fsync|msync)\(/.test(call)
    if (opened && isDone) files.set(opened[2]!, opened[1]!.includes('SYNC'))
    else if (said && isBegun && said[1] === 'begin') before = writes
    else if (said && isBegun) found.push({ commit: said[2]!, isSynced: writes > before && synced === writes })
    else if (isLasting !== undefined && isBegun) writes++
    if ((isSync || isLasting) && isBegun) syncing.set(thread, writes)
    const hasLasted = isSync ? call.endsWith('= 0') : isLasting === true && /= \d+$/.test(call)
    if (hasLasted && isDone) synced = Math.max(synced, syncing.get(thread) ?? 0)
  }
  return found
}

type Line = { thread: string; call: string; isBegun: boolean; isDone: boolean }

/** A call during which another thread made one comes in two halves; the second is given the beginning of the first. */
function* joined(trace: string): Generator<Line> {
  const halves = new Map<string, string>()
  for (const line of trace.split('\n')) {
    const [, thread = '', call = ''] = /^(\d+)\s+(.*)$/.exec(line) ?? []
    const [, first] = /^(.*)<unfinished \.\.\.>$/.exec(call) ?? []
    const [, second] = /^<\.\.\. \w+ resumed>(.*)$/.exec(call) ?? []
    if (first !== undefined) {
      halves.set(thread, first)
      yield { thread, call, isBegun: true, isDone: false }
    } else if (second !== undefined) {
      yield { thread, call: `${halves.get(thread) ?? ''}${second}`, isBegun: false, isDone: true }
    } else yield { thread, call, isBegun: true, isDone: true }
  }
}
