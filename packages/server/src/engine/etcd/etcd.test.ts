import { startEtcd } from '../../../../../test/harness/etcd.ts'
import { systemClock } from '../../clock.ts'
import { conformance } from '../conformance.ts'
import { openEtcd } from './etcd.ts'

conformance('etcd', async () => {
  const cluster = await startEtcd()
  const open = () => openEtcd({ urls: cluster.urls, clock: systemClock, readMsMax: 300 })
  return { open, dispose: () => cluster.stop() }
})
