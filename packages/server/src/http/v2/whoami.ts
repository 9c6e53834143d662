import { actions } from '@holdfast/protocol/operation'
import { v2 } from '@holdfast/protocol/v2'
import { answer, route } from '../call.ts'

export const whoami = route(v2.whoami, async ({ caller }) =>
  answer(200, {
    subject: caller.subject,
    instance: caller.instance,
    actions: actions.filter(action => caller.permits(action, null)),
  }),
)
