import { v2 } from '@holdfast/protocol/v2'
import { answer, route } from '../call.ts'
import { writeAsHolder } from './writing.ts'

export const writeValue = route(v2.writeValue, async call =>
  answer(200, await writeAsHolder(call, call.params.name, call.body)),
)
