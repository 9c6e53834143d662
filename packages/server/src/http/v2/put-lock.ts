import { v2 } from '@holdfast/protocol/v2'
import { route } from '../call.ts'
import { configure } from './configuration.ts'

export const putLock = route(v2.putLock, call => configure(call, call.body, { replaces: true }))
