/** What the command line uses. */
export { systemClock } from '../clock.ts'
export { systemRandom } from '../random.ts'
export { type Account, exampleIdentities, readAccount } from './accounts.ts'
export { IamEmulator, startIamEmulator } from './emulator.ts'
