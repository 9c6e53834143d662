/** The measure of our own overhead: synced LMDB commits by the same library, with the server's settings, in the same run. */
import { open } from 'lmdb'
import { temporaryFolder } from '../harness/process.ts'
import { latencies } from './measure.ts'

/** A batch of one operation is about this large. */
const BATCH_BYTES = 400

/** Milliseconds of `count` synced commits, one after another. */
export async function commits(count: number): Promise<number[]> {
  const folder = temporaryFolder('commits')
  const settings = {
    encoding: 'binary',
    overlappingSync: false,
    eventTurnBatching: false,
    commitDelay: 0,
    noSubdir: false,
  } as const
  const store = open<Uint8Array, string>({ path: folder.path, ...settings } as Parameters<typeof open>[0])
  const value = new Uint8Array(BATCH_BYTES)
  let seq = 0
  const commit = async () => {
    seq++
    await store.put(`log/${String(seq).padStart(16, '0')}`, value)
  }
  await latencies(commit, 50)
  const times = await latencies(commit, count)
  await store.close()
  folder.remove()
  return times
}
