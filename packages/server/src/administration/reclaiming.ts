/** Instances whose week is over go for good, and two months later what was left of them for bills. Each server looks now and then; of several that do one is first, and to do it twice is to do it once. All of it by the calendar: what goes here cannot be had back. */
import { type Calendar, type Cancel, type Clock, every } from '../clock.ts'
import type { Administration, By } from './administration.ts'
import { dueForReclamation, forgetRemains, reclaimInstance } from './lifecycle.ts'

const LOOK_MS = 60 * 60 * 1000
const by: By = { subject: 'service', from: '', trace: '' }

export class Reclaimer {
  readonly #administration: Administration
  readonly #calendar: Calendar
  readonly #failed: (error: unknown) => void
  readonly #cancel: Cancel

  constructor(
    administration: Administration,
    { clock, calendar }: { clock: Pick<Clock, 'after'>; calendar: Calendar },
    failed: (error: unknown) => void,
  ) {
    this.#administration = administration
    this.#calendar = calendar
    this.#failed = failed
    this.#cancel = every(clock, LOOK_MS, () => this.#look())
  }

  close(): void {
    this.#cancel()
  }

  async #look(): Promise<void> {
    const now = this.#calendar.now()
    if (now === null) return
    const administration = { ...this.#administration, clock: { wallMs: () => now } }
    const { forget } = administration
    for (const { id } of dueForReclamation(administration)) {
      try {
        await reclaimInstance(administration, by, { id, side: 'service', forget })
      } catch (error) {
        this.#failed(error)
      }
    }
    await forgetRemains(administration, by).catch(this.#failed)
  }
}
