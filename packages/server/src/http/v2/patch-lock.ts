import { v2 } from '@holdfast/protocol/v2'
import { route } from '../call.ts'
import { configure } from './configuration.ts'

export const patchLock = route(v2.patchLock, call => configure(call, call.body, { replaces: false }))
