import { type Action, actions } from '@holdfast/protocol/operation'
import { v2 } from '@holdfast/protocol/v2'
import { answer, type Call, route } from '../call.ts'
import { type Deed, decide, denial } from '../permission.ts'

export const whoami = route(v2.whoami, async call => {
  const { subject, instance } = call.caller
  const permitted = await Promise.all(actions.map(action => maySomewhere(call, action)))
  return answer(200, { subject, instance, actions: actions.filter((_, index) => permitted[index]) })
})

/** On some lock of the instance, or on the instance itself. What depends on the body of a request is left open. */
async function maySomewhere({ doors, caller, trace }: Call, action: Action): Promise<boolean> {
  const deed: Deed = { action, lock: null, isEarly: true }
  if (/^(lock|election)\./.test(action)) deed.under = ''
  const decision = await decide(doors, caller, deed)
  if (decision.isUnknown) throw denial(doors, caller, { deed, decision, trace })
  return decision.permitted
}
