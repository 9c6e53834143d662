/** What the emulator answers, and how it says no. */

export type Answer = { status: number; body: unknown; etag?: string }

export class Refusal extends Error {
  readonly answer: Answer
  constructor(status: number, errorCode: string, errorMessage: string) {
    super(errorMessage)
    this.answer = { status, body: { errorCode, errorMessage, context: {} } }
  }
}

export function okay(body: unknown): Answer {
  return { status: 200, body }
}
