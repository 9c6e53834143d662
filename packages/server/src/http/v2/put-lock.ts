import { v2 } from '@holdfast/protocol/v2'
import { route } from '../call.ts'
import { put } from './configuration.ts'

export const putLock = route(v2.putLock, call => put(call, call.body))
