import { v2 } from '@holdfast/protocol/v2'
import { absent, answer, ask, askerOf, route } from '../call.ts'
import { wireValue } from '../views.ts'

export const readValue = route(
  v2.readValue,
  async call => {
    const { value } = await ask(call, { ...askerOf(call), type: 'read_value', lock: call.params.name }, 'value')
    return answer(200, wireValue(value))
  },
  absent('value'),
)
