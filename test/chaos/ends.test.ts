/** Scenarios 22b and 22c: they are short as they are. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { temporaryFolder } from '../harness/process.ts'
import { ends } from './scenarios/ends.ts'

const rules: [string, string][] = [
  ['22b', 'the last epoch is used as long as tokens are exact, and then nothing is granted any more'],
  ['22c', 'a batch whose number could not be read back is not written, nor what is in it acknowledged'],
]

for (const [id, rule] of rules) {
  test(rule, async () => {
    const folder = temporaryFolder('ends')
    const scenario = ends.find(one => one.id === id)
    try {
      const played = await scenario?.play?.({ folder: folder.path, seed: 1, seconds: 1, tell: () => undefined })
      assert.ok(played, `there is a scenario ${id}`)
      assert.deepEqual(played.violations, [])
    } finally {
      folder.remove()
    }
  })
}
