import { v2 } from '@holdfast/protocol/v2'
import { answer, route } from '../call.ts'
import { wireElection } from '../views.ts'
import { electionOf } from './election.ts'

export const getElection = route(
  v2.getElection,
  async call => answer(200, await electionOf(call, call.params.name)),
  async call => answer(200, wireElection(call.params.name, null)),
)
