/** All scenarios, in the order of VERIFICATION section 8. */
import type { Scenario } from '../scenario.ts'
import { clients } from './clients.ts'
import { clocks } from './clocks.ts'
import { disks } from './disks.ts'
import { elsewhere } from './elsewhere.ts'
import { embeddedStore } from './embedded.ts'
import { ends } from './ends.ts'
import { network } from './network.ts'
import { operators } from './operators.ts'
import { reading } from './reading.ts'
import { restores } from './restore.ts'
import { servers } from './servers.ts'
import { store } from './store.ts'
import { upkeep } from './upkeep.ts'

export const scenarios: readonly Scenario[] = [
  ...servers,
  ...store,
  ...network,
  ...reading,
  ...clients,
  ...clocks,
  ...disks,
  ...upkeep,
  ...embeddedStore,
  ...operators,
  ...restores,
  ...ends,
  ...elsewhere,
].sort((one, other) => numberOf(one) - numberOf(other))

/** `5b` comes after `5`. */
function numberOf({ id }: Scenario): number {
  return Number.parseInt(id, 10) + (/[a-z]/.test(id) ? (id.charCodeAt(id.length - 1) - 96) / 100 : 0)
}
