import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEtcd } from '../../../../../test/harness/etcd.ts'
import { systemClock } from '../../clock.ts'
import { conformance } from '../conformance.ts'
import { openEtcd } from '../etcd/etcd.ts'
import { openLmdb } from '../lmdb/lmdb.ts'
import { openMemory } from '../memory/memory.ts'
import { MemoryStore } from '../memory/store.ts'
import { openSealed } from './sealed.ts'
import { sealing } from './testing.ts'

conformance('memory, sealed', async () => {
  const store = new MemoryStore()
  const settings = sealing()
  const open = () => openSealed(openMemory({ store }), settings)
  return { open }
})

conformance('lmdb, sealed', async () => {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-sealed.'))
  const settings = sealing()
  const open = async () => openSealed(await openLmdb({ path }), settings)
  return { open, dispose: () => rm(path, { recursive: true, force: true }) }
})

conformance('etcd, sealed', async () => {
  const cluster = await startEtcd()
  const settings = sealing()
  const open = async () =>
    openSealed(await openEtcd({ urls: cluster.urls, clock: systemClock, readMsMax: 300 }), settings)
  return { open, dispose: () => cluster.stop() }
})
