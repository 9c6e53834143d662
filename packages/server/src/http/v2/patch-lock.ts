import { v2 } from '@holdfast/protocol/v2'
import { route } from '../call.ts'
import { patch } from './configuration.ts'

export const patchLock = route(v2.patchLock, call => patch(call, call.body))
