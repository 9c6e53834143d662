import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HolderView, LockView } from '@holdfast/client'
import { lockText, SAID_CHARS_MAX, whyText } from './describe.ts'

const inMs = (ms: number) => new Date(Date.now() + ms).toISOString()

function held(more: Partial<HolderView> = {}): LockView {
  const holder: HolderView = {
    holder: 'ci:7',
    sessionId: 's-1',
    token: 5,
    mode: 'exclusive',
    acquiredAt: inMs(-60_000),
    expiresAt: inMs(12_000),
    priority: 0,
    ...more,
  }
  return { name: 'web', state: 'held', waiters: 0, holders: [holder] }
}
const why = (more?: Partial<HolderView>) => whyText({ lock: held(more), waiters: [] })
const show = (more?: Partial<HolderView>) => lockText(held(more))

const AT = String.raw`at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`

test('who asks why is told the holder, since when, and when it ends: as a countdown in seconds, and the time', () => {
  assert.match(why(), /^web is held by ci:7 since 1m \(exclusive, token 5\)\.$/m)
  assert.match(why(), new RegExp(`^ {2}Unless it is renewed, it ends in 1[12]s, ${AT}\\.$`, 'm'))
  assert.match(why({ endsInMs: 90_000 }), new RegExp(`in 1[12]s, ${AT}; in any case in 90s, ${AT}\\.$`, 'm'))
  assert.match(why({ expiresAt: inMs(-5_000) }), /it ends in 0s, at/, 'its clock is not ours')
  const [, header = '', row = ''] = /^(HOLDER.*)\n(.*)$/m.exec(show({ endsInMs: 90_000 })) ?? []
  assert.match(header, /UNLESS RENEWED ENDS IN +ENDS IN/)
  assert.match(row, new RegExp(`ci:7 +exclusive +5 +1m +1[12]s, ${AT} +90s, ${AT}$`))
  const at = Date.parse(/in 90s, at (\S+Z)/.exec(why({ endsInMs: 90_000 }))?.[1] ?? '')
  assert.ok(Math.abs(at - Date.now() - 90_000) < 5_000)
})

test('what the holder says of itself is shown, by `why` and by `show`: its labels, and which command it runs', () => {
  const more = { labels: { team: 'a' }, metadata: { command: './deploy.sh', step: 3, of: ['x'] } }
  const said = 'team=a  command=./deploy.sh step=3 of=["x"]'
  for (const text of [why(more), show(more)]) assert.ok(text.includes(said), text)
})

test('it moves no cursor, reads as nothing else, and is cut off where it is long', () => {
  const metadata = { command: '\u001b[2J\u202e', nested: { text: '\u009b\u202e' }, 'key\n': 'x' }
  for (const text of [why({ metadata }), show({ metadata })]) {
    assert.doesNotMatch(text.replaceAll('\n', ''), /[\p{Cc}\p{Bidi_Control}]/u)
    assert.match(text, /command=\\u001b\[2J\\u202e nested=\{"text":"\\u009b\\u202e"\} key\\u000a=x/)
  }
  const long = { labels: { one: 'l'.repeat(2_000) }, metadata: { two: '💥'.repeat(2_000) } }
  for (const text of [why(long), show(long)]) {
    assert.match(text, /one=l+… {2}two=💥+…/u)
    const said = /one=.*…/u.exec(text)?.[0] ?? ''
    assert.equal([...said].length, 2 * SAID_CHARS_MAX + 2)
  }
})
